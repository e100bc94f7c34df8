use std::collections::BTreeMap;

use counter_keyspace::{Entry, SessionId, SessionRecord, ShardBuilder, ShardTotals, Table};
use counter_protocol::Count;

/// State of a shard that is built from a store, record by record.
pub(crate) trait Rebuild: Send + 'static {
    /// Counters that have been taken out.
    type Counters: Send;

    /// Takes out all counters.
    fn take_counters(&mut self) -> Self::Counters;

    /// Shows counters that have been taken out, until `show` returns false. Returns what it has returned last.
    fn show(counters: &Self::Counters, show: &mut dyn FnMut(&[u8], Count) -> bool) -> bool;

    /// Forgets everything.
    fn reset(&mut self);

    /// Sets a counter. Returns false if the name is not one of this shard.
    fn insert(&mut self, entry: Entry<'_>) -> bool;

    /// Removes a counter, if there is one. Returns false if the name is not one of this shard.
    fn remove(&mut self, name: &[u8]) -> bool;

    /// Sets the record of a session.
    fn insert_session(&mut self, id: SessionId, record: SessionRecord);

    /// Forgets the records of the sessions below this one.
    fn set_session_floor(&mut self, floor: SessionId);

    /// Sets the number of rejected operations.
    fn set_rejected(&mut self, operations: u128);

    /// Sets the clock in milliseconds since the Unix epoch.
    fn set_clock(&mut self, clock_ms: u64);

    /// Returns the totals of what is there.
    fn totals(&mut self) -> ShardTotals;
}

impl Rebuild for ShardBuilder {
    type Counters = Table;

    fn take_counters(&mut self) -> Table {
        Self::take_counters(self)
    }

    fn show(counters: &Table, show: &mut dyn FnMut(&[u8], Count) -> bool) -> bool {
        counters.iter().all(|(key, count)| show(key.name(), count))
    }

    fn reset(&mut self) {
        Self::reset(self);
    }

    fn insert(&mut self, entry: Entry<'_>) -> bool {
        Self::insert(self, entry).is_ok()
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        Self::remove(self, name).is_ok()
    }

    fn insert_session(&mut self, id: SessionId, record: SessionRecord) {
        self.session(id, record);
    }

    fn set_session_floor(&mut self, floor: SessionId) {
        Self::set_session_floor(self, floor);
    }

    fn set_rejected(&mut self, operations: u128) {
        Self::set_rejected(self, operations);
    }

    fn set_clock(&mut self, clock_ms: u64) {
        Self::set_clock(self, clock_ms);
    }

    fn totals(&mut self) -> ShardTotals {
        Self::totals(self)
    }
}

/// Counts and deadlines by name.
pub(crate) type SortedCounters = BTreeMap<Box<[u8]>, (Count, Option<u64>)>;

/// State of a shard in sorted maps, for whoever does not want to count on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SortedShard {
    pub(crate) counters: SortedCounters,
    pub(crate) sessions: BTreeMap<SessionId, SessionRecord>,
    pub(crate) rejected_operations: u128,
    pub(crate) clock_ms: u64,
}

impl Rebuild for SortedShard {
    type Counters = SortedCounters;

    fn take_counters(&mut self) -> SortedCounters {
        std::mem::take(&mut self.counters)
    }

    fn show(counters: &SortedCounters, show: &mut dyn FnMut(&[u8], Count) -> bool) -> bool {
        counters.iter().all(|(name, (count, _))| show(name, *count))
    }

    fn reset(&mut self) {
        self.counters.clear();
        self.sessions.clear();
    }

    fn insert(&mut self, Entry { name, count, deadline_ms }: Entry<'_>) -> bool {
        self.counters.insert(name.into(), (count, deadline_ms));
        true
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        self.counters.remove(name);
        true
    }

    fn insert_session(&mut self, id: SessionId, record: SessionRecord) {
        self.sessions.insert(id, record);
    }

    fn set_session_floor(&mut self, floor: SessionId) {
        self.sessions = self.sessions.split_off(&floor);
    }

    fn set_rejected(&mut self, operations: u128) {
        self.rejected_operations = operations;
    }

    fn set_clock(&mut self, clock_ms: u64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
    }

    fn totals(&mut self) -> ShardTotals {
        let counts = self.counters.values();
        ShardTotals {
            names: self.counters.len() as u64,
            value: counts.clone().map(|(count, _)| i128::from(count.value)).sum(),
            operations: counts.clone().map(|(count, _)| u128::from(count.operations)).sum(),
            rejected_operations: self.rejected_operations,
            sessions: self.sessions.len() as u64,
            deadlines: counts.filter(|(_, deadline_ms)| deadline_ms.is_some()).count() as u64,
        }
    }
}
