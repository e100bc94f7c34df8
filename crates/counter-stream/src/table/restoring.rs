//! Restores a table from a store.

use crate::record::Position;

use super::{Counted, PartitionTable, Producer, ProducerId};

impl PartitionTable {
    /// Sets the lower half of a sum. `None` if the name is too long.
    pub(crate) fn restore_name(&mut self, name: &[u8], low: i64, as_of: u64) -> Option<()> {
        let counted = self.names.entry(self.hasher.key(name).ok()?);
        counted.as_of = as_of;
        if counted.is_wide {
            counted.value = counted.value >> 64 << 64 | i128::from(low.cast_unsigned());
        } else {
            counted.value = low.into();
            counted.operations = low.cast_unsigned();
        }
        Some(())
    }

    /// Sets the upper half of a sum, and its number of operations. `None` if the name is too long.
    pub(crate) fn restore_wide(&mut self, name: &[u8], high: i64, operations: u64) -> Option<()> {
        let counted = self.names.entry(self.hasher.key(name).ok()?);
        counted.value = i128::from(high) << 64 | counted.value & i128::from(u64::MAX);
        *counted = Counted { operations, is_wide: true, ..*counted };
        Some(())
    }

    /// Sets a producer, or removes it if it has sent nothing.
    pub(crate) fn restore_producer(&mut self, id: ProducerId, producer: Producer) {
        if producer.as_of > 0 {
            self.producers.set(id, producer);
        } else {
            self.producers.remove(&id);
        }
    }

    pub(crate) const fn restore_position(&mut self, position: Position) {
        self.position = position;
    }

    pub(crate) const fn restore_tally(&mut self, index: usize, number: u64) {
        let tallies = &mut self.tallies;
        let tally = match index {
            0 => &mut tallies.counted,
            1 => &mut tallies.skipped,
            2 => &mut tallies.duplicates,
            _ => &mut tallies.refused,
        };
        *tally = number;
    }

    /// Adds up what has been restored, which is what the store holds.
    pub(crate) fn finish_recovery(&mut self) {
        for (key, counted) in self.names.iter() {
            self.sums.add_name(key.name(), counted);
            self.total.replace(Counted::default(), counted);
        }
        for (id, producer) in self.producers.since(0) {
            self.sums.add_producer(&id, producer);
        }
        self.summed = self.position.offset;
        let digest = self.digest();
        self.confirm(self.summed, digest);
    }
}
