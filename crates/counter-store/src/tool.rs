//! Tools for a store that nobody has open.

use std::path::Path;
use std::sync::Arc;

use counter_keyspace::{Entry, ShardTotals};

use crate::disk::{Disk, FsDisk};
use crate::error::{Damage, OpenError};
use crate::rebuild::SortedShard;
use crate::recovery::{self, Inspection, Progress};
use crate::replicas::{ColumnSink, ColumnTotals, Member, ReplicaKey, SortedColumns};
use crate::store::Driver;
use crate::store::open::lock;

/// Contents of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Totals of each shard.
    pub totals: Vec<ShardTotals>,
    /// Sequence number of the last frame that counts.
    pub sequence: u64,
    /// Number of times that the store has been opened.
    pub incarnation: u64,
    /// Replica that the store counted as last; `None` if it has never had a peer.
    pub replica: Option<ReplicaKey>,
    /// Totals of the columns of other replicas.
    pub columns: Vec<(ReplicaKey, ColumnTotals)>,
    /// Stores that it replicates with.
    pub members: Vec<Member>,
    /// The damage, if its loss was accepted.
    pub damage: Option<Damage>,
}

/// Reads and verifies everything in a store's directory, and shows the counters in order of shard and name, and then
/// the entries of other replicas in order of replica and name.
///
/// # Errors
/// [`OpenError`]. [`OpenError::Absent`] if there is none.
pub fn read(
    dir: &Path,
    accept_loss: bool,
    progress: &mut dyn FnMut(Progress),
    show: impl FnMut(Option<&ReplicaKey>, Entry<'_>),
) -> Result<Report, OpenError> {
    let disk = FsDisk::open(dir).map_err(OpenError::disk("open the directory"))?;
    read_on(Arc::new(disk), Driver::Thread, accept_loss, progress, show)
}

/// Reads and verifies everything on a disk, as [`read`] does.
///
/// # Errors
/// As those of [`read`].
pub fn read_on(
    disk: Arc<dyn Disk>,
    driver: Driver,
    accept_loss: bool,
    progress: &mut dyn FnMut(Progress),
    mut show: impl FnMut(Option<&ReplicaKey>, Entry<'_>),
) -> Result<Report, OpenError> {
    let names = disk.list().map_err(OpenError::disk("read the directory"))?;
    if names.is_empty() {
        return Err(OpenError::Absent);
    }
    let _lock = lock(&*disk)?;
    let Inspection::Store(inspected) = recovery::inspect(&*disk, accept_loss)? else {
        return Err(OpenError::Absent);
    };
    let shards = usize::try_from(inspected.identity.shards).unwrap_or(usize::MAX);
    let mut columns = SortedColumns::default();
    let shards = vec![SortedShard::default(); shards];
    let (rebuilt, replicas) = recovery::replay(&*disk, &inspected, shards, &mut columns, driver, progress)?;
    for (name, &(count, deadline_ms)) in rebuilt.iter().flat_map(|rebuilt| &rebuilt.shard.counters) {
        show(None, Entry { name, count, deadline_ms });
    }
    for (replica, column) in &columns.0 {
        column
            .iter()
            .for_each(|(name, &count)| show(Some(replica), Entry { name, count, deadline_ms: None }));
    }
    Ok(Report {
        totals: rebuilt.iter().map(|rebuilt| rebuilt.end.totals).collect(),
        sequence: inspected.plan.end.sequence,
        incarnation: inspected.incarnation,
        replica: replicas.own,
        columns: columns.0.keys().map(|replica| (replica.clone(), columns.totals(replica))).collect(),
        members: replicas.members.into_iter().collect(),
        damage: inspected.damage.clone(),
    })
}
