//! The state of a partition: what its records up to an offset add up to.

mod counted;
mod cutting;
mod producers;
mod restoring;
mod sums;

use std::num::NonZeroUsize;

use counter_keyspace::{NameMap, Partitioner};
use serde::{Deserialize, Serialize};

use crate::record::{Content, Position, Record, Stamp};

pub use counted::{Counted, OutOfRange, Total};
pub use producers::{PRODUCER_RETENTION, PRODUCER_WINDOW, Producer, ProducerId};
pub use sums::Digest;

pub(crate) use cutting::OwnCut;

use cutting::Unconfirmed;
use producers::Producers;
use sums::Sums;

/// State of a partition after the records before its [`position`](Self::position).
///
/// It depends on these records only, not on who counted them, or in how many lives. So it advances by
/// [records](Self::count) as well as by [cuts](Self::apply) of whoever has counted them. Both are ignored if they are
/// of the past.
///
/// Nothing is rejected: sums have 128 bits, which 2⁶³ records cannot exceed.
#[derive(Debug)]
pub struct PartitionTable {
    hasher: Partitioner,
    names: NameMap<Counted>,
    producers: Producers,
    tallies: Tallies,
    position: Position,
    /// Sum over all names.
    total: Total,
    /// Sums at the offset `summed`, without the entries that have changed since.
    sums: Sums,
    summed: u64,
    /// Names that have changed since `summed`.
    changed: Vec<u32>,
    unconfirmed: Unconfirmed,
}

/// Number of records by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies {
    /// Records that were counted.
    pub counted: u64,
    /// Records that count nothing.
    pub skipped: u64,
    /// Records that their producer has sent again, and that were counted before.
    pub duplicates: u64,
    /// Records that came too late to know whether they were counted before, and were not counted.
    pub refused: u64,
}

impl Tallies {
    /// Returns the numbers of two partitions together.
    #[must_use]
    pub const fn merge(self, other: Self) -> Self {
        Self {
            counted: self.counted.saturating_add(other.counted),
            skipped: self.skipped.saturating_add(other.skipped),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            refused: self.refused.saturating_add(other.refused),
        }
    }
}

/// Proof that two histories of a partition differ. Neither can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Fork {
    /// The same records have led to different counts.
    #[error(
        "different counts at offset {offset}: the log has changed, or its records are mapped differently"
    )]
    Counts {
        /// The offset.
        offset: u64,
    },
    /// The leader epoch of a partition only ever increases.
    #[error("leader epoch {found} from offset {offset} on, after epoch {known}: the log was truncated")]
    Epoch {
        /// Offset of the first record behind what is known.
        offset: u64,
        /// Epoch of the last known record.
        known: u32,
        /// Epoch of the later record.
        found: u32,
    },
}

impl PartitionTable {
    /// Creates the state at offset 0. The seeds of the hash should be random, because names come from outside; the
    /// state does not depend on them.
    #[must_use]
    pub fn new(hash_seeds: [u64; 4]) -> Self {
        Self {
            hasher: Partitioner::new(hash_seeds, NonZeroUsize::MIN),
            names: NameMap::default(),
            producers: Producers::default(),
            tallies: Tallies::default(),
            position: Position::default(),
            total: Total::default(),
            sums: Sums::default(),
            summed: 0,
            changed: Vec::new(),
            unconfirmed: Unconfirmed::default(),
        }
    }

    /// Counts a record, unless it is of the past. Returns true if it is new.
    ///
    /// # Errors
    /// [`Fork`] if it cannot come after those that are known. Then nothing has changed.
    pub fn count(&mut self, record: Record<'_>) -> Result<bool, Fork> {
        let Record { offset, leader_epoch, content } = record;
        if offset < self.position.offset {
            return Ok(false);
        }
        self.check_epoch(offset, leader_epoch)?;
        let as_of = offset.saturating_add(1);
        match content {
            Content::Skipped => self.tallies.skipped += 1,
            Content::Count { name, amount, operations, stamp } => match self.admit(offset, stamp) {
                Admission::Duplicate => self.tallies.duplicates += 1,
                Admission::TooLate => self.tallies.refused += 1,
                Admission::Admitted if self.add(&name, amount, operations, as_of) => {
                    self.tallies.counted += 1
                }
                Admission::Admitted => self.tallies.skipped += 1,
            },
        }
        self.advance(Position { offset: as_of, leader_epoch });
        Ok(true)
    }

    /// Moves on, and forgets the producers that are out of reach by then.
    fn advance(&mut self, Position { offset, leader_epoch }: Position) {
        self.position = Position { offset, leader_epoch: leader_epoch.or(self.position.leader_epoch) };
        while let Some((id, producer)) = self.producers.evict(offset) {
            if producer.as_of <= self.summed {
                self.sums.remove_producer(&id, producer);
            }
            self.unconfirmed.evicted.push((offset, id));
        }
    }

    fn check_epoch(&self, offset: u64, epoch: Option<u32>) -> Result<(), Fork> {
        match (self.position.leader_epoch, epoch) {
            (Some(known), Some(found)) if found < known => Err(Fork::Epoch { offset, known, found }),
            _ => Ok(()),
        }
    }

    /// Decides whether a producer's record counts, and remembers it if so.
    fn admit(&mut self, offset: u64, stamp: Option<Stamp>) -> Admission {
        let Some(Stamp { producer: id, sequence, base }) = stamp else { return Admission::Admitted };
        // A base beyond the record is no honest producer's, and would let a repetition seem recent for ever.
        if base > offset || offset - base > PRODUCER_WINDOW {
            return Admission::TooLate;
        }
        if self.producers.get(&id).is_some_and(|last| sequence <= last.sequence) {
            return Admission::Duplicate;
        }
        self.set_producer(id, Producer { sequence, as_of: offset.saturating_add(1) });
        Admission::Admitted
    }

    fn set_producer(&mut self, id: ProducerId, producer: Producer) {
        if let Some(old) = self.producers.set(id, producer)
            && old.as_of <= self.summed
        {
            self.sums.remove_producer(&id, old);
        }
    }

    /// Adds to a counter. Returns false if its name is too long to be one.
    fn add(&mut self, name: &[u8], amount: i64, operations: u64, as_of: u64) -> bool {
        let Ok(key) = self.hasher.key(name) else { return false };
        let index = self.names.get_or_insert_index(key);
        let counted = self.names.value_mut(index);
        let old = *counted;
        counted.add(amount, operations, as_of);
        self.total.replace(old, *counted);
        self.note_change(index, name, old);
        true
    }

    /// Takes an entry out of the sums when it changes for the first time since.
    fn note_change(&mut self, index: u32, name: &[u8], old: Counted) {
        if old.as_of <= self.summed {
            self.changed.push(index);
            if old.exists() {
                self.sums.remove_name(name, old);
            }
        }
    }

    /// Returns the position behind the last record.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Returns what became of the records.
    #[must_use]
    pub const fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// Returns the number of names.
    #[must_use]
    pub const fn names(&self) -> usize {
        self.names.len()
    }

    /// Returns the sum over all names.
    #[must_use]
    pub const fn total(&self) -> Total {
        self.total
    }

    /// Returns what a counter adds up to, if there is one.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Total> {
        let key = self.hasher.key(name).ok()?;
        self.names.get(key).map(Counted::total)
    }

    /// Returns the counter with an index, as it is in a store.
    pub(crate) fn widened(&mut self, index: u32) -> Option<(&[u8], Counted)> {
        self.names.at(index)?;
        self.names.value_mut(index).widen();
        self.names.at(index).map(|(key, counted)| (key.name(), counted))
    }

    /// Returns the counters from an index on, with their indices. A counter keeps its index.
    pub(crate) fn counters_from(&self, from: u32) -> impl Iterator<Item = (u32, &[u8], Total)> {
        let at = |index| self.names.at(index).map(|(key, counted)| (index, key.name(), counted.total()));
        (from..self.names.indices().end).filter_map(at)
    }

    /// Returns all counters as they are in memory, in arbitrary order.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&[u8], Counted)> {
        self.names.iter().map(|(key, counted)| (key.name(), counted))
    }

    /// Returns all counters, in arbitrary order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Total)> {
        self.counted().map(|(name, counted)| (name, counted.total()))
    }

    /// Returns the producers that are remembered, by the offset behind their last record.
    pub fn producers(&self) -> impl Iterator<Item = (ProducerId, Producer)> {
        self.producers.since(0)
    }
}

/// Verdict on a producer's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Admitted,
    Duplicate,
    TooLate,
}

/// Verdict on a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The table stands where the cut ends.
    Whole,
    /// The cut is of the past, or begins beyond the table.
    Ignored,
}

#[cfg(test)]
mod tests;
