//! The partitions of this member.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor_supervision::{SupervisorError, SupervisorHandle};
use tokio::sync::watch;

use crate::partition::Partition;
use crate::record::PartitionId;
use crate::table::PartitionTable;

/// Maximum number of partitions that a member holds. Invented ones do not fill its memory.
pub const MAX_PARTITIONS: usize = 65_536;

/// The partitions of a member. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Partitions {
    shared: Arc<Shared>,
    supervisor: SupervisorHandle,
}

#[derive(Debug)]
struct Shared {
    hash_seeds: [u64; 4],
    known: Mutex<Known>,
    /// Number of partitions.
    count: watch::Sender<usize>,
    /// Held while a partition starts.
    starting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// In the order of their starts, so that each keeps its place.
    list: Arc<Vec<Partition>>,
    by_id: BTreeMap<PartitionId, usize>,
}

impl Known {
    /// Checks that there is room for a partition, and that it would be the only column of its records.
    fn check(&self, id: &PartitionId) -> Result<(), PartitionError> {
        let any_mapping = |mapping| PartitionId { mapping, ..id.clone() };
        match self.by_id.range(any_mapping(0)..=any_mapping(u64::MAX)).next() {
            Some((known, _)) => Err(PartitionError::Mapping { known: known.clone() }),
            None if self.list.len() >= MAX_PARTITIONS => Err(PartitionError::TooMany),
            None => Ok(()),
        }
    }
}

/// Error of starting a partition.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// There are as many partitions as there may be.
    #[error("no room for another partition beside {MAX_PARTITIONS}")]
    TooMany,
    /// The partition is counted already, with another mapping of its records.
    #[error(
        "partition is counted as {known}, with another mapping: go on with that one, or recount in another directory"
    )]
    Mapping {
        /// The partition as this member knows it.
        known: PartitionId,
    },
    /// The member's supervisor has stopped, or the actor has not started.
    #[error("partition's actor failed to start")]
    Actor(#[from] SupervisorError),
}

impl Partitions {
    pub(crate) fn new(supervisor: SupervisorHandle, hash_seeds: [u64; 4]) -> Self {
        let (known, count, starting) = Default::default();
        Self { shared: Arc::new(Shared { hash_seeds, known, count, starting }), supervisor }
    }

    /// Returns a partition, if this member knows it.
    pub(crate) fn get(&self, id: &PartitionId) -> Option<Partition> {
        let known = self.known();
        known.by_id.get(id).map(|index| known.list[*index].clone())
    }

    /// Returns a partition, which starts at offset 0 if it is new.
    ///
    /// # Errors
    /// [`PartitionError`].
    pub(crate) async fn get_or_start(&self, id: &PartitionId) -> Result<Partition, PartitionError> {
        if let Some(partition) = self.get(id) {
            return Ok(partition);
        }
        let table = PartitionTable::new(self.shared.hash_seeds);
        self.start(id.clone(), table).await
    }

    /// Starts a partition that goes on from a table, unless it is there already.
    ///
    /// # Errors
    /// [`PartitionError`].
    pub(crate) async fn start(
        &self,
        id: PartitionId,
        table: PartitionTable,
    ) -> Result<Partition, PartitionError> {
        let _starting = self.shared.starting.lock().await;
        if let Some(partition) = self.get(&id) {
            return Ok(partition);
        }
        self.known().check(&id)?;
        let (partition, actor) = Partition::new(id.clone(), table);
        self.supervisor.start_child(actor).await?;
        let mut known = self.known();
        let index = known.list.len();
        Arc::make_mut(&mut known.list).push(partition.clone());
        known.by_id.insert(id, index);
        self.shared.count.send_replace(known.list.len());
        Ok(partition)
    }

    /// Returns all partitions in the order of their starts. Only new ones are ever added, at the end.
    pub(crate) fn all(&self) -> Vec<Partition> {
        Vec::clone(&self.known().list)
    }

    /// Returns all partitions, with outboxes that are shared: for questions.
    pub(crate) fn shared(&self) -> Arc<Vec<Partition>> {
        Arc::clone(&self.known().list)
    }

    /// Returns the number of partitions, now and later.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.shared.count.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
