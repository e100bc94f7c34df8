//! The columns of other replicas, which a store that replicates holds besides its own counters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use counter_keyspace::{EntryPage, KeyspaceError, SessionId};
use counter_protocol::Count;

/// Replica of a cluster: one incarnation of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// Name of the node.
    pub node: Box<str>,
    /// Number of the incarnation.
    pub incarnation: u64,
}

impl ReplicaKey {
    /// Returns the id below which all sessions are of earlier incarnations.
    pub(crate) const fn first_session(&self) -> SessionId {
        SessionId { incarnation: self.incarnation, number: 0 }
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation)
    }
}

/// Identity of a store, which all its copies share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    /// Writes the first half in hexadecimal digits, which is enough to tell stores apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Another store that a store replicates with. Several records of one store add up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Identity of the store.
    pub store: StoreId,
    /// Name of its node when it was recorded.
    pub node: Box<str>,
    /// The other store has durably recorded this one, too.
    pub is_mutual: bool,
}

/// Totals of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnTotals {
    /// Number of entries.
    pub names: u64,
    /// Sum of the values.
    pub value: i128,
    /// Sum of the operations.
    pub operations: u128,
}

/// Entries of columns that have changed. An entry without operations does not exist any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnPage {
    /// Entries by replica.
    pub columns: Vec<(ReplicaKey, EntryPage)>,
    /// Number of entries that are left for later pages.
    pub left: usize,
}

impl ColumnPage {
    pub(crate) fn len(&self) -> usize {
        self.columns.iter().map(|(_, entries)| entries.len()).sum()
    }
}

/// Totals of columns at the end of a round.
pub type ColumnEnds = Vec<(ReplicaKey, ColumnTotals)>;

/// Columns of other replicas, which the committer takes changes from in rounds, like those of a shard.
///
/// Entries that have been handed out stay pending until the round is confirmed.
pub trait Columns: fmt::Debug + Send + 'static {
    /// Returns about `most` entries that have changed.
    ///
    /// # Errors
    /// [`KeyspaceError`]. Nothing is lost.
    fn pull(&mut self, most: usize) -> impl Future<Output = Result<ColumnPage, KeyspaceError>> + Send;

    /// Returns all the rest of the round, and the totals of all columns that have changed in it.
    ///
    /// # Errors
    /// [`KeyspaceError`]. Nothing is lost.
    fn finish(&mut self) -> impl Future<Output = Result<(ColumnPage, ColumnEnds), KeyspaceError>> + Send;

    /// Confirms the round: it is durable.
    fn confirm(&mut self);

    /// Makes pending again what was handed out in this round.
    fn retry(&mut self);

    /// Makes everything pending.
    fn reset(&mut self);

    /// Returns about `most` entries from a position on, the first of which is 0, and the position of the next page.
    ///
    /// # Errors
    /// [`KeyspaceError`].
    fn snapshot_page(
        &mut self,
        from: u64,
        most: usize,
    ) -> impl Future<Output = Result<(ColumnPage, Option<u64>), KeyspaceError>> + Send;
}

/// Receives the columns that a store holds when it is opened.
pub trait ColumnSink: Send + 'static {
    /// Sets an entry, or removes it if it has no operations. Returns false if there is no room for its replica, or it
    /// cannot be one.
    fn set(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool;

    /// Sets an entry like [`set`](Self::set), unless the one that is there has as many operations or more.
    fn merge(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool;

    /// Returns the totals of a replica's column.
    fn totals(&self, replica: &ReplicaKey) -> ColumnTotals;
}

/// Columns of a store that has none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoColumns;

impl Columns for NoColumns {
    async fn pull(&mut self, _: usize) -> Result<ColumnPage, KeyspaceError> {
        Ok(ColumnPage::default())
    }

    async fn finish(&mut self) -> Result<(ColumnPage, ColumnEnds), KeyspaceError> {
        Ok((ColumnPage::default(), Vec::new()))
    }

    fn confirm(&mut self) {}

    fn retry(&mut self) {}

    fn reset(&mut self) {}

    async fn snapshot_page(&mut self, _: u64, _: usize) -> Result<(ColumnPage, Option<u64>), KeyspaceError> {
        Ok((ColumnPage::default(), None))
    }
}

/// Columns in sorted maps, for whoever does not want to count on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortedColumns(pub(crate) BTreeMap<ReplicaKey, BTreeMap<Box<[u8]>, Count>>);

impl ColumnSink for SortedColumns {
    fn set(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        let column = self.0.entry(replica.clone()).or_default();
        if count.operations > 0 {
            column.insert(name.into(), count);
        } else {
            column.remove(name);
        }
        if column.is_empty() {
            self.0.remove(replica);
        }
        true
    }

    fn merge(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        let known = self.0.get(replica).and_then(|column| column.get(name));
        known.is_some_and(|known| known.operations >= count.operations) || self.set(replica, name, count)
    }

    fn totals(&self, replica: &ReplicaKey) -> ColumnTotals {
        let counts = self.0.get(replica).into_iter().flat_map(BTreeMap::values);
        counts.fold(ColumnTotals::default(), |totals, count| ColumnTotals {
            names: totals.names + 1,
            value: totals.value + i128::from(count.value),
            operations: totals.operations + u128::from(count.operations),
        })
    }
}

/// Records of replicas in the log, besides their entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replicas {
    /// Replica that the store counted as last. `None` if it has never had a peer.
    pub(crate) own: Option<ReplicaKey>,
    pub(crate) members: BTreeSet<Member>,
    /// Totals of each column in its last round.
    pub(crate) ends: BTreeMap<ReplicaKey, ColumnTotals>,
}
