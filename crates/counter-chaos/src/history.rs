//! A check of the values that readers got against the operations of writers, both with their times. Pure.
//!
//! A read of a counter that was begun after some operations had been acknowledged must see them. It may see those that
//! were under way, and nothing else. With `D` the former and `P` the latter, a read of signed counters is right only if
//!
//! ```text
//! sum(D) + sum(negative P) <= value <= sum(D) + sum(positive P)
//! count(D) <= operations <= count(D) + count(P)
//! ```
//!
//! and if it sees no fewer operations than any read that had ended before it began. This is necessary for a history to
//! be linearizable, and cheap; where nothing is under way, the read must be exact.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use counter_cluster::Total;

/// Logical clock that orders events of all tasks.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// Returns a time later than all that it has returned before.
    pub fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Operation, as its sender saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Name of the counter.
    pub name: String,
    /// Amount to add.
    pub amount: i64,
    /// Time before it was sent.
    pub begun: u64,
    /// Time after it was acknowledged, if it ever was.
    pub acknowledged: Option<u64>,
}

/// Read, as its reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Name of the counter.
    pub name: String,
    /// Time before it was asked for.
    pub begun: u64,
    /// Time after the answer.
    pub ended: u64,
    /// Value and number of operations in the answer.
    pub total: Total,
}

/// Operations and reads of all senders and readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Operations, in any order.
    pub adds: Vec<Add>,
    /// Reads, in any order.
    pub reads: Vec<Read>,
}

/// Read that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Acknowledged operations are missing, or there are some that no sender had sent, or some were counted twice.
    #[error("read not between {least:?} and {most:?}: {read:?}")]
    OutOfBounds {
        /// Read that is wrong.
        read: Read,
        /// Lower bound.
        least: Total,
        /// Upper bound.
        most: Total,
    },
    /// It misses operations that an earlier read has seen.
    #[error("read of less than the {operations} operations that an earlier one saw: {read:?}")]
    Backwards {
        /// Read that is wrong.
        read: Read,
        /// Number of operations in the earlier read.
        operations: u128,
    },
}

impl History {
    /// Adds the operations and reads of another task, by the same clock.
    pub fn extend(&mut self, other: Self) {
        self.adds.extend(other.adds);
        self.reads.extend(other.reads);
    }

    /// Checks every read.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Box<Violation>> {
        let mut adds = BTreeMap::<&str, Vec<&Add>>::new();
        self.adds.iter().for_each(|add| adds.entry(&add.name).or_default().push(add));
        let mut reads = BTreeMap::<&str, Vec<&Read>>::new();
        self.reads.iter().for_each(|read| reads.entry(&read.name).or_default().push(read));
        for (name, reads) in reads {
            let adds = adds.get(name).map_or(&[][..], Vec::as_slice);
            reads.iter().try_for_each(|read| within_bounds(read, adds))?;
            never_backwards(&reads)?;
        }
        Ok(())
    }
}

fn within_bounds(read: &Read, adds: &[&Add]) -> Result<(), Box<Violation>> {
    let (mut least, mut most) = (Total::default(), Total::default());
    for add in adds {
        let amount = i128::from(add.amount);
        if add.acknowledged.is_some_and(|acknowledged| acknowledged < read.begun) {
            least.value += amount;
            least.operations += 1;
            most.value += amount;
            most.operations += 1;
        } else if add.begun < read.ended {
            least.value += amount.min(0);
            most.value += amount.max(0);
            most.operations += 1;
        }
    }
    let Total { value, operations } = read.total;
    let fits = (least.value..=most.value).contains(&value)
        && (least.operations..=most.operations).contains(&operations);
    if fits { Ok(()) } else { Err(Box::new(Violation::OutOfBounds { read: read.clone(), least, most })) }
}

fn never_backwards(reads: &[&Read]) -> Result<(), Box<Violation>> {
    let (mut by_begin, mut by_end) = (reads.to_vec(), reads.to_vec());
    by_begin.sort_by_key(|read| read.begun);
    by_end.sort_by_key(|read| read.ended);
    let (mut ended, mut operations) = (by_end.into_iter().peekable(), 0);
    for read in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < read.begun) {
            operations = operations.max(before.total.operations);
        }
        if read.total.operations < operations {
            return Err(Box::new(Violation::Backwards { read: read.clone(), operations }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(amount: i64, begun: u64, acknowledged: u64) -> Add {
        Add { name: "a".into(), amount, begun, acknowledged: Some(acknowledged) }
    }

    fn read(begun: u64, ended: u64, value: i128, operations: u128) -> Read {
        Read { name: "a".into(), begun, ended, total: Total { value, operations } }
    }

    fn check(adds: &[Add], reads: &[Read]) -> Result<(), Box<Violation>> {
        History { adds: adds.to_vec(), reads: reads.to_vec() }.check()
    }

    fn is_out_of_bounds(adds: &[Add], reads: &[Read]) -> bool {
        check(adds, reads).is_err_and(|violation| matches!(*violation, Violation::OutOfBounds { .. }))
    }

    #[test]
    fn what_is_under_way_may_be_seen_or_not() {
        let adds = [add(5, 0, 1), add(-3, 2, 9), add(7, 4, 8)];
        for (value, operations) in [(5, 1), (2, 2), (12, 2), (9, 3)] {
            assert_eq!(check(&adds, &[read(3, 6, value, operations)]), Ok(()));
        }
    }

    #[test]
    fn a_lost_update_is_caught() {
        assert!(is_out_of_bounds(&[add(5, 0, 1), add(4, 2, 3)], &[read(4, 5, 5, 1)]));
        // Even if it would not change the value.
        assert!(is_out_of_bounds(&[add(5, 0, 1), add(0, 2, 3)], &[read(4, 5, 5, 1)]));
    }

    #[test]
    fn a_doubled_update_is_caught() {
        assert!(is_out_of_bounds(&[add(5, 0, 1)], &[read(2, 3, 10, 2)]));
        // Even if the number of operations does not tell.
        assert!(is_out_of_bounds(&[add(5, 0, 1)], &[read(2, 3, 10, 1)]));
        // Even while it is under way.
        assert!(is_out_of_bounds(&[add(-5, 0, 9)], &[read(2, 3, -10, 2)]));
    }

    #[test]
    fn a_reordered_update_is_caught() {
        // The later of two is seen without the earlier.
        assert!(is_out_of_bounds(&[add(5, 0, 1), add(4, 2, 9)], &[read(3, 6, 4, 1)]));
        // One is seen before it was sent.
        assert!(is_out_of_bounds(&[add(5, 0, 1), add(4, 6, 7)], &[read(2, 3, 9, 2)]));
        // One under way is seen, and then not any more.
        let reads = [read(1, 2, 5, 1), read(3, 4, 0, 0)];
        let backwards = Violation::Backwards { read: reads[1].clone(), operations: 1 };
        assert_eq!(check(&[add(5, 0, 9)], &reads), Err(Box::new(backwards)));
    }

    #[test]
    fn what_was_never_acknowledged_may_be_seen_for_ever_or_not_at_all() {
        let adds = [Add { acknowledged: None, ..add(5, 0, 0) }];
        assert_eq!(check(&adds, &[read(8, 9, 0, 0)]), Ok(()));
        assert_eq!(check(&adds, &[read(8, 9, 5, 1)]), Ok(()));
    }

    #[test]
    fn names_have_nothing_to_do_with_each_other() {
        let other = Add { name: "b".into(), ..add(5, 0, 1) };
        assert_eq!(check(&[other], &[read(2, 3, 0, 0)]), Ok(()));
    }

    proptest! {
        /// Operations take effect, and reads see, at some time between their begin and their end.
        #[test]
        fn no_history_of_a_real_counter_is_refused(
            events in prop::collection::vec((any::<bool>(), 0..1000_u64, 1..50_u64, 0..50_u64, -9..9_i64), 1..60)
        ) {
            let mut moments: Vec<_> = events;
            // Where in its span it happens; ties in the order of the list.
            moments.sort_by_key(|&(_, begun, length, within, _)| begun + within % length);
            let (mut history, mut total) = (History::default(), Total::default());
            for (is_read, begun, length, _, amount) in moments {
                let ended = begun + length;
                if is_read {
                    history.reads.push(Read { name: "a".into(), begun, ended, total });
                } else {
                    history.adds.push(add(amount, begun, ended));
                    total.value += i128::from(amount);
                    total.operations += 1;
                }
            }
            prop_assert_eq!(history.check(), Ok(()));
        }
    }
}
