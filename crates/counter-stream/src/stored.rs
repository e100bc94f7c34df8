//! Partitions in a store: columns of its own format, so that its checks, snapshots and recovery serve.
//!
//! An entry of a column is a name with two numbers. The first byte of the name says what the numbers are.
//!
//! | name | value | operations |
//! |---|---|---|
//! | `n`, name | lower half of the sum | offset behind the last record of the name |
//! | `w`, name | upper half of the sum | number of operations, and one |
//! | `p`, producer | sequence of its last record | offset behind that record |
//! | `o` | leader epoch, or -1 | offset of the next record |
//! | `t`, digit | number of records that had this outcome | offset of the next record |
//!
//! Most counters need no `w`: their sum has 64 bits, and is the number of their operations.

mod recovery;

use counter_keyspace::{Entry, EntryPage};
use counter_protocol::Count;
use counter_store::{ColumnTotals, ReplicaKey};

use crate::record::{PartitionId, Position};
use crate::table::{Counted, OwnCut, PartitionTable, Producer, Tallies};

pub(crate) use recovery::RecoveringTables;

const NAME: u8 = b'n';
const WIDE: u8 = b'w';
const PRODUCER: u8 = b'p';
const POSITION: u8 = b'o';
const TALLY: u8 = b't';

/// Returns the counts of a name's entries.
pub(crate) fn counts_of(counted: Counted) -> impl Iterator<Item = Count> {
    let Counted { value, operations, as_of, is_wide } = counted;
    let wide = is_wide.then_some(Count { value: half(value >> 64), operations: operations + 1 });
    [Count { value: half(value), operations: as_of }].into_iter().chain(wide)
}

/// Returns the count of a producer's entry.
pub(crate) const fn producer_count(Producer { sequence, as_of }: Producer) -> Count {
    Count { value: sequence.cast_signed(), operations: as_of }
}

/// Adds an entry to the totals of a column.
pub(crate) fn add(totals: &mut ColumnTotals, Count { value, operations }: Count) {
    totals.names += 1;
    totals.value += i128::from(value);
    totals.operations += u128::from(operations);
}

/// Takes an entry out of the totals of a column.
pub(crate) fn subtract(totals: &mut ColumnTotals, Count { value, operations }: Count) {
    totals.names -= 1;
    totals.value -= i128::from(value);
    totals.operations -= u128::from(operations);
}

/// Returns the entries of a table that belong to no name and no producer.
fn numbers(position: Position, tallies: Tallies) -> impl Iterator<Item = (Vec<u8>, Count)> {
    let Position { offset, leader_epoch } = position;
    let epoch = leader_epoch.map_or(-1, i64::from);
    let Tallies { counted, skipped, duplicates, refused } = tallies;
    let tallies = (b'0'..).zip([counted, skipped, duplicates, refused]).map(move |(digit, number)| {
        (vec![TALLY, digit], Count { value: number.cast_signed(), operations: offset })
    });
    [(vec![POSITION], Count { value: epoch, operations: offset })].into_iter().chain(tallies)
}

impl OwnCut {
    /// Returns the entries that a store writes.
    pub(crate) fn page(&self) -> EntryPage {
        let (mut page, mut name_buffer) = (EntryPage::default(), Vec::new());
        for ((name, counted), is_wide) in self.cut.changes.iter().zip(&self.wide) {
            push_name(&mut page, &mut name_buffer, name, Counted { is_wide: *is_wide, ..counted });
        }
        for (id, producer) in &self.cut.changes.producers {
            push(&mut page, &mut name_buffer, PRODUCER, id, producer_count(*producer));
        }
        for id in &self.evicted {
            push(&mut page, &mut name_buffer, PRODUCER, id, Count::default());
        }
        push_numbers(&mut page, self.cut.to, self.cut.tallies);
        page
    }

    /// Returns the totals of the partition's column behind this cut.
    pub(crate) fn column_totals(&self) -> ColumnTotals {
        let mut totals = self.totals;
        numbers(self.cut.to, self.cut.tallies).for_each(|(_, count)| add(&mut totals, count));
        totals
    }
}

impl PartitionTable {
    /// Returns all that a store holds of about `most` names from an index on, and the index of the next page. The first
    /// page has all that is not about names, too.
    pub(crate) fn page(&mut self, from: u32, most: usize) -> (EntryPage, Option<u32>) {
        let (mut page, mut name_buffer) = (EntryPage::default(), Vec::new());
        if from == 0 && self.position().offset > 0 {
            push_numbers(&mut page, self.position(), self.tallies());
            for (id, producer) in self.producers() {
                push(&mut page, &mut name_buffer, PRODUCER, &id, producer_count(producer));
            }
        }
        let mut index = from;
        while let Some((name, counted)) = self.widened(index) {
            if page.len() >= most && index > from {
                return (page, Some(index));
            }
            push_name(&mut page, &mut name_buffer, name, counted);
            index += 1;
        }
        (page, None)
    }
}

fn push_name(page: &mut EntryPage, buffer: &mut Vec<u8>, name: &[u8], counted: Counted) {
    counts_of(counted).zip([NAME, WIDE]).for_each(|(count, kind)| push(page, buffer, kind, name, count));
}

fn push_numbers(page: &mut EntryPage, position: Position, tallies: Tallies) {
    for (name, count) in numbers(position, tallies) {
        page.push(Entry { name: &name, count, deadline_ms: None });
    }
}

fn push(page: &mut EntryPage, buffer: &mut Vec<u8>, kind: u8, name: &[u8], count: Count) {
    buffer.clear();
    buffer.push(kind);
    buffer.extend_from_slice(name);
    page.push(Entry { name: buffer, count, deadline_ms: None });
}

fn half(value: i128) -> i64 {
    i64::try_from(value << 64 >> 64).expect("it has 64 bits")
}

impl From<&PartitionId> for ReplicaKey {
    fn from(PartitionId { cluster, topic, partition, mapping }: &PartitionId) -> Self {
        let topic = u128::from_be_bytes(*topic);
        Self { node: format!("{partition}/{topic:032x}/{cluster}").into(), incarnation: *mapping }
    }
}

impl PartitionId {
    /// Returns the partition whose column this is, if it is one.
    pub(crate) fn from_replica(ReplicaKey { node, incarnation }: &ReplicaKey) -> Option<Self> {
        let mut parts = node.splitn(3, '/');
        let (partition, topic, cluster) = (parts.next()?, parts.next()?, parts.next()?);
        let topic = u128::from_str_radix(topic, 16).ok()?.to_be_bytes();
        let id = Self {
            cluster: cluster.into(),
            topic,
            partition: partition.parse().ok()?,
            mapping: *incarnation,
        };
        // Only one text is the partition's.
        (ReplicaKey::from(&id).node == *node).then_some(id)
    }
}
