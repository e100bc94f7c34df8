//! Tables as a store hands them over, entry by entry.

use std::collections::BTreeMap;

use counter_protocol::Count;
use counter_store::{ColumnSink, ColumnTotals, ReplicaKey};

use crate::record::{PartitionId, Position};
use crate::table::{PartitionTable, Producer};

use super::{NAME, POSITION, PRODUCER, TALLY, WIDE, add, counts_of, numbers, producer_count};

/// Tables of the partitions of a store that is being recovered.
#[derive(Debug)]
pub(crate) struct RecoveringTables {
    hash_seeds: [u64; 4],
    tables: BTreeMap<ReplicaKey, PartitionTable>,
}

impl RecoveringTables {
    pub(crate) const fn new(hash_seeds: [u64; 4]) -> Self {
        Self { hash_seeds, tables: BTreeMap::new() }
    }

    /// Returns the recovered tables, as far as the store is known to hold them.
    pub(crate) fn finish(self) -> BTreeMap<PartitionId, PartitionTable> {
        let finish = |(replica, mut table): (ReplicaKey, PartitionTable)| {
            table.finish_recovery();
            Some((PartitionId::from_replica(&replica)?, table))
        };
        self.tables.into_iter().filter_map(finish).collect()
    }
}

impl ColumnSink for RecoveringTables {
    fn set(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        if !self.tables.contains_key(replica) {
            if PartitionId::from_replica(replica).is_none() {
                return false;
            }
            self.tables.insert(replica.clone(), PartitionTable::new(self.hash_seeds));
        }
        self.tables.get_mut(replica).is_some_and(|table| table.restore(name, count).is_some())
    }

    fn merge(&mut self, _: &ReplicaKey, _: &[u8], _: Count) -> bool {
        // Only a store with counters of its own merges them, and such a store holds no partitions.
        false
    }

    fn totals(&self, replica: &ReplicaKey) -> ColumnTotals {
        let mut totals = ColumnTotals::default();
        if let Some(table) = self.tables.get(replica) {
            table
                .counted()
                .for_each(|(_, counted)| counts_of(counted).for_each(|count| add(&mut totals, count)));
            table.producers().for_each(|(_, producer)| add(&mut totals, producer_count(producer)));
            numbers(table.position(), table.tallies()).for_each(|(_, count)| add(&mut totals, count));
        }
        totals
    }
}

impl PartitionTable {
    /// Takes over an entry of the table's column. Returns `None` if it cannot be one.
    fn restore(&mut self, name: &[u8], count: Count) -> Option<()> {
        let Count { value, operations } = count;
        let (kind, name) = name.split_first()?;
        match *kind {
            NAME => self.restore_name(name, value, operations),
            WIDE => self.restore_wide(name, value, operations.checked_sub(1)?),
            PRODUCER => {
                let producer = Producer { sequence: value.cast_unsigned(), as_of: operations };
                self.restore_producer(name.try_into().ok()?, producer);
                Some(())
            }
            POSITION if name.is_empty() => {
                let leader_epoch = if value < 0 { None } else { Some(u32::try_from(value).ok()?) };
                self.restore_position(Position { offset: operations, leader_epoch });
                Some(())
            }
            TALLY => {
                let [digit @ b'0'..=b'3'] = name else { return None };
                self.restore_tally(usize::from(digit - b'0'), value.cast_unsigned());
                Some(())
            }
            _ => None,
        }
    }
}
