use counter_protocol::{Count, NameTooLong};

use crate::key::Key;
use crate::partitioner::Partitioner;
use crate::round::{Entry, SessionId, SessionRecord, ShardTotals};
use crate::sessions::Sessions;
use crate::shard::ShardState;
use crate::table::{OverflowPolicy, PREFETCH, Table};

/// Builds the state of one shard before its keyspace runs, on any thread.
///
/// It applies what [feeds](crate::Feed) have delivered: rounds, pages of snapshots, and records of sessions. The last
/// entry of a name counts.
///
/// ```
/// use counter_keyspace::{Entry, Keyspace, KeyspaceOptions, Partitioner, ShardBuilder};
/// use counter_protocol::Count;
///
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
/// let partitioner = Partitioner::new([1, 2, 3, 4], 1.try_into()?);
/// let mut shard = ShardBuilder::new(&partitioner, 0);
/// shard.insert(Entry { name: b"hits", count: Count { value: 2, operations: 2 }, deadline_ms: None })?;
/// let (keyspace, _feed) = Keyspace::resume_from(KeyspaceOptions::default(), vec![shard.build()]).await?;
/// assert_eq!(keyspace.handle().value("hits").await?, Some(2));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct ShardBuilder {
    partitioner: Partitioner,
    shard: usize,
    table: Table,
    sessions: Sessions,
    /// Entries that are not in the table yet, so that it can be prefetched for all of them.
    pending: Vec<Pending>,
    /// Names of the pending entries, one after the other.
    names: Vec<u8>,
}

/// Entry that is not in the table yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    hash: u64,
    head: u128,
    name_end: usize,
    count: Count,
    deadline_ms: Option<u64>,
}

/// State of a shard, for [`Keyspace::resume_from`](crate::Keyspace::resume_from).
#[derive(Debug)]
pub struct RecoveredShard {
    pub(crate) hash_seeds: [u64; 4],
    /// Index and number of shards.
    pub(crate) place: (usize, usize),
    pub(crate) state: ShardState,
}

/// Error of a [`ShardBuilder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The name is too long for a counter.
    #[error(transparent)]
    NameTooLong(#[from] NameTooLong),
    /// The name belongs to another shard: it was assigned with other hash seeds or another hash function.
    #[error("name of shard {belongs_to} in shard {shard}")]
    OtherShard {
        /// Shard that is being built.
        shard: usize,
        /// Shard that the name belongs to.
        belongs_to: usize,
    },
}

impl ShardBuilder {
    /// Creates the builder of an empty shard.
    #[must_use]
    pub fn new(partitioner: &Partitioner, shard: usize) -> Self {
        Self {
            partitioner: partitioner.clone(),
            shard,
            table: Table::default(),
            sessions: Sessions::default(),
            pending: Vec::with_capacity(PREFETCH),
            names: Vec::new(),
        }
    }

    /// Reserves memory for `names` different names, of which those longer than 16 bytes take `long_name_bytes` in all.
    pub fn reserve(&mut self, names: usize, long_name_bytes: usize) {
        self.table.reserve(names, long_name_bytes);
    }

    /// Inserts a counter, in place of an existing one of the same name.
    ///
    /// # Errors
    /// [`RecoveryError`]: nothing has changed.
    pub fn insert(&mut self, entry: Entry<'_>) -> Result<(), RecoveryError> {
        let Entry { name, count, deadline_ms } = entry;
        let Key { hash, head, .. } = self.key(name)?;
        self.names.extend_from_slice(name);
        self.pending.push(Pending { hash, head, name_end: self.names.len(), count, deadline_ms });
        if self.pending.len() == PREFETCH {
            self.insert_pending();
        }
        Ok(())
    }

    /// Removes a counter. Returns false if there is none.
    ///
    /// # Errors
    /// [`RecoveryError`]: nothing has changed.
    pub fn remove(&mut self, name: &[u8]) -> Result<bool, RecoveryError> {
        self.insert_pending();
        let key = self.key(name)?;
        Ok(self.table.remove(key).is_some())
    }

    /// Inserts the record of a session, in place of an existing one. Has no effect below the floor.
    pub fn session(&mut self, id: SessionId, record: SessionRecord) {
        self.sessions.insert(id, record);
    }

    /// Ends all sessions below this one, and forgets their records.
    pub fn set_session_floor(&mut self, floor: SessionId) {
        self.sessions.raise_floor(floor);
    }

    /// Sets the number of rejected operations.
    pub const fn set_rejected(&mut self, operations: u128) {
        self.table.set_rejected_operations(operations);
    }

    /// Sets the clock, in milliseconds since the Unix epoch. It never goes back.
    pub fn set_clock(&mut self, clock_ms: u64) {
        self.table.advance(clock_ms);
    }

    /// Forgets all counters and sessions, but neither the clock nor the floor of sessions.
    pub fn reset(&mut self) {
        self.pending.clear();
        self.names.clear();
        let clock_ms = self.table.clock_ms();
        self.table = Table::default();
        self.table.advance(clock_ms);
        let floor = self.sessions.floor();
        self.sessions = Sessions::default();
        self.sessions.raise_floor(floor);
    }

    /// Takes out all counters. The shard goes on without any, but with its clock and its number of rejected operations.
    pub fn take_counters(&mut self) -> Table {
        self.insert_pending();
        let mut rest = Table::default();
        rest.advance(self.table.clock_ms());
        rest.set_rejected_operations(self.table.rejected_operations());
        std::mem::replace(&mut self.table, rest)
    }

    /// Returns the totals of the shard.
    pub fn totals(&mut self) -> ShardTotals {
        self.insert_pending();
        ShardTotals { sessions: self.sessions.len() as u64, ..self.table.totals() }
    }

    /// Returns the state of the shard.
    #[must_use]
    pub fn build(mut self) -> RecoveredShard {
        self.insert_pending();
        let Self { partitioner, shard, table, sessions, .. } = self;
        RecoveredShard {
            hash_seeds: partitioner.hash_seeds(),
            place: (shard, partitioner.shards().get()),
            state: ShardState::recovered(table, sessions),
        }
    }

    fn key<'a>(&self, name: &'a [u8]) -> Result<Key<'a>, RecoveryError> {
        let key = self.partitioner.key(name)?;
        match self.partitioner.shard_of(key) {
            belongs_to if belongs_to != self.shard => {
                Err(RecoveryError::OtherShard { shard: self.shard, belongs_to })
            }
            _ => Ok(key),
        }
    }

    fn insert_pending(&mut self) {
        self.table.prefetch(self.pending.iter().map(|pending| pending.hash));
        let mut start = 0;
        for Pending { hash, head, name_end, count, deadline_ms } in self.pending.drain(..) {
            let key = Key { hash, head, name: &self.names[start..name_end] };
            self.table.put(key, count, deadline_ms);
            start = name_end;
        }
        self.names.clear();
    }
}

impl RecoveredShard {
    /// Applies what the options of the keyspace say.
    pub(crate) fn into_state(self, overflow: OverflowPolicy) -> ShardState {
        let mut state = self.state;
        state.set_overflow(overflow);
        state
    }
}
