//! A node in memory, whose partitions are as those of all nodes that share it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard};

use counter_stream::kafka::{Destination, Owner, Refused};
use counter_stream::{Content, PartitionId, Position, Record};
use tokio::sync::watch;

/// Shared by the members of a test, as if they had sent each other everything at once.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    columns: BTreeMap<u32, Column>,
    /// Partitions without room.
    full: BTreeSet<u32>,
}

/// Counts of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) position: Position,
    pub(crate) sums: BTreeMap<Box<[u8]>, i128>,
    pub(crate) operations: u64,
    pub(crate) skipped: u64,
    pub(crate) releases: u64,
    /// Last number of each producer.
    producers: BTreeMap<[u8; 16], u64>,
}

pub(crate) struct MemoryPartition {
    memory: Memory,
    number: u32,
    position: Position,
    committed: watch::Sender<Position>,
}

impl Memory {
    pub(crate) fn column(&self, number: u32) -> Column {
        self.state().columns.get(&number).cloned().unwrap_or_default()
    }

    pub(crate) fn set_position(&self, number: u32, position: Position) {
        self.state().columns.entry(number).or_default().position = position;
    }

    pub(crate) fn set_full(&self, number: u32, is_full: bool) {
        let mut state = self.state();
        if is_full {
            state.full.insert(number)
        } else {
            state.full.remove(&number)
        };
    }

    /// Returns the sums of all partitions.
    pub(crate) fn sums(&self) -> BTreeMap<String, i128> {
        let mut sums = BTreeMap::new();
        for column in self.state().columns.values() {
            for (name, amount) in &column.sums {
                *sums.entry(String::from_utf8(name.to_vec()).unwrap()).or_default() += amount;
            }
        }
        sums
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state().columns.values().map(|column| column.operations).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Owner for Memory {
    type Partition = MemoryPartition;

    async fn own(&self, partition: PartitionId) -> Result<MemoryPartition, Box<dyn Error + Send + Sync>> {
        let number = partition.partition;
        let position = self.state().columns.entry(number).or_default().position;
        Ok(MemoryPartition { memory: self.clone(), number, position, committed: watch::channel(position).0 })
    }
}

impl Destination for MemoryPartition {
    fn position(&self) -> Position {
        self.position
    }

    fn try_send<'a>(&self, record: Record<'a>) -> Result<(), Refused<'a>> {
        let mut state = self.memory.state();
        if state.full.contains(&self.number) {
            return Err(Refused::Full(record));
        }
        let column = state.columns.entry(self.number).or_default();
        // A former owner can only repeat what is known.
        if record.offset < column.position.offset {
            return Ok(());
        }
        column.position = Position { offset: record.offset + 1, leader_epoch: record.leader_epoch };
        match record.content {
            Content::Skipped => column.skipped += 1,
            Content::Count { name, amount, operations, stamp } => {
                let is_new = stamp.is_none_or(|stamp| {
                    let last = column.producers.entry(stamp.producer).or_default();
                    stamp.sequence > std::mem::replace(last, stamp.sequence.max(*last))
                });
                if is_new {
                    *column.sums.entry(name.into_owned().into()).or_default() += i128::from(amount);
                    column.operations += operations;
                }
            }
        }
        self.committed.send_replace(column.position);
        Ok(())
    }

    fn note_end(&self, _: u64) {}

    fn committed(&self) -> watch::Receiver<Position> {
        self.committed.subscribe()
    }

    async fn release(self) {
        self.memory.state().columns.entry(self.number).or_default().releases += 1;
    }
}
