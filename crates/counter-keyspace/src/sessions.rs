use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::ops::Bound;

use crate::round::{SessionId, SessionRecord};

/// Latest request of each session that has reached a shard. Pure.
///
/// A session is new if it is not below the floor and has no record. Records leave only below the floor.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    records: BTreeMap<SessionId, SessionRecord>,
    floor: SessionId,
    /// Records of sessions that have ended, whose memory is freed little by little.
    ended: VecDeque<BTreeMap<SessionId, SessionRecord>>,
}

/// Identifies a request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    pub(crate) id: SessionId,
    pub(crate) sequence: u64,
    /// Checksum of the whole request, in all shards.
    pub(crate) fingerprint: u64,
}

/// Reason why a request of a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionRefusal {
    Expired,
    Superseded,
    OtherRequest,
}

impl Sessions {
    /// Returns the record of a request, which is a new one for a request with a greater sequence number than any
    /// before.
    pub(crate) fn begin(&mut self, request: SessionRequest) -> Result<&mut SessionRecord, SessionRefusal> {
        let SessionRequest { id, sequence, fingerprint } = request;
        if id < self.floor {
            return Err(SessionRefusal::Expired);
        }
        let new = || SessionRecord { sequence, fingerprint, done: 0, outcomes: Vec::new() };
        let record = self.records.entry(id).or_insert_with(new);
        if sequence < record.sequence {
            return Err(SessionRefusal::Superseded);
        }
        if sequence > record.sequence {
            *record = new();
        }
        if record.fingerprint == fingerprint { Ok(record) } else { Err(SessionRefusal::OtherRequest) }
    }

    /// Inserts a record, in place of an existing one of the same session. Those below the floor are left out.
    pub(crate) fn insert(&mut self, id: SessionId, record: SessionRecord) {
        if id >= self.floor {
            self.records.insert(id, record);
        }
    }

    /// Ends all sessions below this one, and forgets their records. The floor never sinks.
    pub(crate) fn raise_floor(&mut self, floor: SessionId) {
        if floor > self.floor {
            self.floor = floor;
            let left = self.records.split_off(&floor);
            self.ended.push_back(mem::replace(&mut self.records, left));
        }
    }

    /// Frees the memory of up to `most` records of sessions that have ended.
    pub(crate) fn free(&mut self, most: usize) {
        for _ in 0..most {
            let Some(records) = self.ended.front_mut() else { return };
            if records.pop_first().is_none() {
                self.ended.pop_front();
            }
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
