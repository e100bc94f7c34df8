//! Records on their way to the brokers, until they are acknowledged. Pure.

use std::collections::{HashMap, VecDeque};

use twox_hash::XxHash3_64;

use super::folded::Sum;
use crate::mapping::Annotations;
use crate::record::Stamp;

/// Record that is sent, and sent again as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outbound {
    pub(super) partition: usize,
    pub(super) name: Box<[u8]>,
    pub(super) amount: i64,
    pub(super) annotations: Annotations,
}

/// Records of one producer that are not acknowledged, in the order in which each partition has to get them.
#[derive(Debug)]
pub(super) struct Outgoing {
    producer: [u8; 16],
    partitions: Vec<Partition>,
    pending: VecDeque<Outbound>,
}

#[derive(Debug)]
struct Partition {
    /// Greatest number that a record has.
    sequence: u64,
    /// End of the log, as far as it is known.
    end: u64,
}

impl Outgoing {
    /// Creates a queue for partitions, by the ends of their logs.
    pub(super) fn new(producer: [u8; 16], ends: Vec<u64>) -> Self {
        let partitions = ends.into_iter().map(|end| Partition { sequence: 0, end }).collect();
        Self { producer, partitions, pending: VecDeque::new() }
    }

    /// Turns sums into records. The same name always goes to the same partition.
    pub(super) fn extend(&mut self, sums: HashMap<Box<[u8]>, Sum>) {
        for (name, sum) in sums {
            let partition = partition_of(&name, self.partitions.len());
            for (amount, operations) in parts(sum) {
                let Partition { sequence, end } = &mut self.partitions[partition];
                *sequence += 1;
                let stamp = Some(Stamp { producer: self.producer, sequence: *sequence, base: *end });
                let annotations = Annotations { operations, stamp };
                self.pending.push_back(Outbound { partition, name: name.clone(), amount, annotations });
            }
        }
    }

    /// Returns the records that are not acknowledged.
    pub(super) fn pending(&self) -> &VecDeque<Outbound> {
        &self.pending
    }

    /// Returns the end of each partition's log, as far as it is known.
    pub(super) fn ends(&self) -> impl Iterator<Item = u64> {
        self.partitions.iter().map(|partition| partition.end)
    }

    /// Removes the records that were acknowledged, and learns from their offsets how far the logs go.
    pub(super) fn acknowledge(&mut self, offsets: &[Option<u64>]) {
        let mut offsets = offsets.iter();
        self.pending.retain(|record| {
            let Some(offset) = offsets.next().copied().flatten() else { return true };
            let end = &mut self.partitions[record.partition].end;
            *end = (*end).max(offset + 1);
            false
        });
    }
}

/// Returns the partition that a name goes to.
pub(super) fn partition_of(name: &[u8], partitions: usize) -> usize {
    let hash = XxHash3_64::oneshot(name);
    usize::try_from(hash % partitions as u64).unwrap_or_default()
}

/// Splits a sum into amounts of 64 bits. The first one has all the operations that are not needed for the others.
fn parts(sum: Sum) -> impl Iterator<Item = (i64, u64)> {
    let Sum { amount: mut rest, operations: mut left } = sum;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let amount = i64::try_from(rest).unwrap_or(if rest < 0 { i64::MIN } else { i64::MAX });
        rest -= i128::from(amount);
        done = rest == 0;
        // Each increment has at most 64 bits, so there are at least as many of them as parts.
        let operations = if done { left } else { 1 };
        left -= operations;
        Some((amount, operations))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(sums: &[(&str, i128, u64)]) -> HashMap<Box<[u8]>, Sum> {
        let sum = |&(name, amount, operations): &(&str, i128, u64)| {
            (name.as_bytes().into(), Sum { amount, operations })
        };
        sums.iter().map(sum).collect()
    }

    fn stamps(outgoing: &Outgoing) -> Vec<(u64, u64)> {
        let stamp = |record: &Outbound| record.annotations.stamp.map(|stamp| (stamp.sequence, stamp.base));
        outgoing.pending().iter().filter_map(stamp).collect()
    }

    #[test]
    fn numbers_rise_within_a_partition_and_stay_with_their_records() {
        let mut outgoing = Outgoing::new([1; 16], vec![7]);
        outgoing.extend(sums(&[("a", 1, 1), ("b", 1, 1)]));
        assert_eq!(stamps(&outgoing), [(1, 7), (2, 7)]);
        let second = outgoing.pending()[1].clone();
        outgoing.acknowledge(&[Some(9), None]);
        outgoing.extend(sums(&[("c", 1, 1)]));
        assert_eq!(stamps(&outgoing), [(2, 7), (3, 10)]);
        assert_eq!(outgoing.pending()[0], second);
    }

    #[test]
    fn a_name_stays_with_its_partition() {
        let mut outgoing = Outgoing::new([1; 16], vec![0; 100]);
        outgoing.extend(sums(&[("a", 1, 1)]));
        outgoing.extend(sums(&[("a", 1, 1)]));
        assert_eq!(outgoing.pending()[0].partition, outgoing.pending()[1].partition);
    }

    #[test]
    fn a_sum_beyond_64_bits_becomes_several_records() {
        for (amount, operations) in
            [(0, 3), (-5, 3), (3 * i128::from(i64::MAX), 4), (2 * i128::from(i64::MIN), 2)]
        {
            let mut outgoing = Outgoing::new([1; 16], vec![0]);
            outgoing.extend(sums(&[("a", amount, operations)]));
            let records = outgoing.pending();
            assert_eq!(records.iter().map(|record| i128::from(record.amount)).sum::<i128>(), amount);
            assert_eq!(records.iter().map(|record| record.annotations.operations).sum::<u64>(), operations);
            assert!(records.iter().all(|record| record.annotations.operations > 0));
        }
    }
}
