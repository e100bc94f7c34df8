use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use counter_keyspace::{Keyspace, KeyspaceOptions};
use counter_store::disk::{Disk, FsDisk};
use counter_store::{Commits, OpenError, Store, StoreOptions};
use ractor_supervision::{Options, SupervisorHandle};
use ractor_transport::NodeName;

use crate::columns::PartitionColumns;
use crate::error::StreamError;
use crate::group::{Exchange, Group, GroupOptions};
use crate::handle::StreamHandle;
use crate::owned::OwnedPartition;
use crate::partitions::Partitions;
use crate::record::PartitionId;
use crate::stored::RecoveringTables;

/// Member of a group that counts the partitions of topics. It holds all partitions, and owns some.
#[derive(Debug)]
pub struct StreamNode {
    partitions: Partitions,
    supervisor: SupervisorHandle,
    store: Store,
    commits: Commits,
    /// Part of the store that is not used: partitions are its columns.
    keyspace: Keyspace,
    group: Option<Group>,
}

/// Configuration of a [`StreamNode`].
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Name of this member, unique in its group.
    pub name: NodeName,
    /// Directory of what it has counted, which is created if necessary.
    pub dir: PathBuf,
    /// Options of its store. [`StoreOptions::round_interval`] is the interval between cuts. Those of the keyspace do
    /// not matter, since its counters are not used.
    pub store: StoreOptions,
    /// Settings for the connections to other members; `None` if it is alone.
    pub group: Option<GroupOptions>,
}

impl StreamOptions {
    /// Configures a member that is alone, with a cut every 100 ms.
    #[must_use]
    pub fn new(name: NodeName, dir: impl Into<PathBuf>) -> Self {
        Self { name, dir: dir.into(), store: StoreOptions::default(), group: None }
    }
}

impl StreamNode {
    /// Starts a member, which goes on from what its store holds.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn start(options: StreamOptions) -> Result<Self, StreamError> {
        let disk = FsDisk::create(&options.dir)
            .map_err(|source| OpenError::Disk { action: "open the directory", source })?;
        Self::start_on(Arc::new(disk), options).await
    }

    /// Starts a member on another disk than that of its directory.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn start_on(disk: Arc<dyn Disk>, options: StreamOptions) -> Result<Self, StreamError> {
        let StreamOptions { name, dir: _, store, group } = options;
        let keyspace = KeyspaceOptions { shards: NonZeroUsize::MIN, ..store.keyspace };
        let store = StoreOptions { keyspace, ..store };
        let hash_seeds = std::array::from_fn(|n| RandomState::new().hash_one(n));
        let sink = RecoveringTables::new(hash_seeds);
        let (recovered, mut sink) = Store::recover_on(disk, store, sink, |_| {}).await?;
        let sealed = recovered.seal(name.as_str(), SystemTime::now(), &mut sink)?;

        let supervisor = SupervisorHandle::start(Options::default(), Vec::new()).await?;
        let partitions = Partitions::new(supervisor.clone(), hash_seeds);
        for (id, table) in sink.finish() {
            partitions.start(id, table).await?;
        }
        let (store, keyspace) = sealed.start(PartitionColumns::new(partitions.clone())).await?;
        store.flush().await?;
        let commits = store.commits();
        let group = match group {
            Some(group) => {
                let exchange = Exchange::new(partitions.clone(), commits.clone());
                Some(Group::start(name, group, partitions.clone(), exchange, &supervisor).await?)
            }
            None => None,
        };
        Ok(Self { partitions, supervisor, store, commits, keyspace, group })
    }

    /// Returns the address that it listens on for other members, unless it is alone.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.group.as_ref().map(Group::local_addr)
    }

    /// Makes this member the owner of a partition: whoever calls this reads it, from
    /// [`OwnedPartition::position`] on. Other members may believe the same; what they count is the same, too.
    ///
    /// # Errors
    /// [`StreamError`]; [`StreamError::Owned`] if it is owned in this process already.
    pub async fn own(&self, partition: PartitionId) -> Result<OwnedPartition, StreamError> {
        let partition = self.partitions.get_or_start(&partition).await?;
        OwnedPartition::new(partition, self.commits.clone()).await
    }

    #[cfg(test)]
    pub(crate) const fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    #[cfg(test)]
    pub(crate) const fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Returns a handle for reading.
    #[must_use]
    pub fn handle(&self) -> StreamHandle {
        StreamHandle::new(self.partitions.clone())
    }

    /// Makes durable what was counted, and stops.
    ///
    /// # Errors
    /// [`StreamError::Durability`] if the last round has failed. The member has stopped then, too.
    pub async fn shutdown(self) -> Result<(), StreamError> {
        if let Some(group) = self.group {
            group.shutdown().await;
        }
        let stored = self.store.shutdown().await;
        self.supervisor.shutdown().await;
        self.keyspace.shutdown().await;
        Ok(stored?)
    }
}
