use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::round::{SessionId, SessionRecord};

/// Latest request of each session that has reached a shard. Pure.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    records: BTreeMap<SessionId, SessionRecord>,
    floor: SessionId,
}

impl Sessions {
    /// Inserts a record, in place of an existing one of the same session.
    pub(crate) fn insert(&mut self, id: SessionId, record: SessionRecord) {
        self.records.insert(id, record);
    }

    /// Ends all sessions below this one, and forgets their records. The floor never sinks.
    pub(crate) fn raise_floor(&mut self, floor: SessionId) {
        if floor > self.floor {
            self.floor = floor;
            self.records = self.records.split_off(&floor);
        }
    }

    /// Returns the session below which all have ended.
    pub(crate) const fn floor(&self) -> SessionId {
        self.floor
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the records of these sessions, or of all.
    pub(crate) fn records_of(&self, ids: Option<&BTreeSet<SessionId>>) -> Vec<(SessionId, SessionRecord)> {
        let record = |(id, record): (&SessionId, &SessionRecord)| (*id, record.clone());
        match ids {
            Some(ids) => ids.iter().filter_map(|id| self.records.get_key_value(id)).map(record).collect(),
            None => self.records.iter().map(record).collect(),
        }
    }

    /// Returns up to `most` records of the sessions after this one, in order.
    pub(crate) fn page(&self, after: Option<SessionId>, most: usize) -> Vec<(SessionId, SessionRecord)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.records.range((from, Bound::Unbounded));
        records.take(most).map(|(id, record)| (*id, record.clone())).collect()
    }
}
