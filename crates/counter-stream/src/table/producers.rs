//! Which records producers have sent, as far as that can still matter.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Maximum number of offsets between the end of the partition when a producer first tried to send a record, and the
/// record. What comes later is refused: nobody may remember by then whether it was counted before.
pub const PRODUCER_WINDOW: u64 = 1 << 20;

/// Number of offsets for which a producer's last record is remembered, and so the bound of how many producers are.
///
/// A repetition that is within [`PRODUCER_WINDOW`] of its base is also within that of its original, which came behind
/// the base. So with anything above the window, each repetition that is not refused is recognized.
pub const PRODUCER_RETENTION: u64 = 2 * PRODUCER_WINDOW;

/// Id of a producer, chosen at random by itself.
pub type ProducerId = [u8; 16];

/// Progress of a producer in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// Sequence of its last record that was counted.
    pub sequence: u64,
    /// Offset behind that record.
    pub as_of: u64,
}

/// Producers whose last record is less than [`PRODUCER_RETENTION`] away.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    by_id: HashMap<ProducerId, Producer>,
    by_offset: BTreeMap<u64, ProducerId>,
}

impl Producers {
    /// Sets what is known of a producer, and returns what was.
    pub(super) fn set(&mut self, id: ProducerId, producer: Producer) -> Option<Producer> {
        let old = self.by_id.insert(id, producer);
        if let Some(old) = old {
            self.by_offset.remove(&old.as_of);
        }
        self.by_offset.insert(producer.as_of, id);
        old
    }

    /// Removes a producer.
    pub(super) fn remove(&mut self, id: &ProducerId) -> Option<Producer> {
        let old = self.by_id.remove(id)?;
        self.by_offset.remove(&old.as_of);
        Some(old)
    }

    /// Removes a producer that is out of reach at a position, if there is one.
    pub(super) fn evict(&mut self, offset: u64) -> Option<(ProducerId, Producer)> {
        let (id, producer) = self.out_of_reach(offset).next()?;
        self.remove(&id);
        Some((id, producer))
    }

    /// Returns the producers that are out of reach at a position.
    pub(super) fn out_of_reach(&self, offset: u64) -> impl Iterator<Item = (ProducerId, Producer)> {
        self.since(0).take_while(move |(_, producer)| producer.as_of + PRODUCER_RETENTION <= offset)
    }

    pub(super) fn get(&self, id: &ProducerId) -> Option<Producer> {
        self.by_id.get(id).copied()
    }

    /// Returns the producers that have sent something at this offset or later, in the order of offsets.
    pub(super) fn since(&self, offset: u64) -> impl Iterator<Item = (ProducerId, Producer)> {
        let later = self.by_offset.range(offset.saturating_add(1)..);
        later.filter_map(|(_, id)| Some((*id, self.get(id)?)))
    }
}
