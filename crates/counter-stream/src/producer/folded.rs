//! Increments that wait, folded by name. Pure.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use ractor_outbox::Batch;

/// Increment of a counter, which borrows its name.
#[derive(Clone, Copy, Debug)]
pub struct Increment<'a> {
    /// Name of the counter.
    pub name: &'a [u8],
    /// Amount to add.
    pub amount: i64,
}

/// Sum of increments of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) amount: i128,
    pub(super) operations: u64,
}

/// Increments by name, up to a number of names.
#[derive(Debug)]
pub(super) struct Folded {
    sums: HashMap<Box<[u8]>, Sum>,
    operations: u64,
    max_names: NonZeroUsize,
}

impl Folded {
    pub(super) fn bounded(max_names: NonZeroUsize) -> Self {
        Self { sums: HashMap::new(), operations: 0, max_names }
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> HashMap<Box<[u8]>, Sum> {
        self.operations = 0;
        std::mem::take(&mut self.sums)
    }
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.amount += other.amount;
        self.operations += other.operations;
    }
}

impl Batch for Folded {
    type Item<'a> = &'a [Increment<'a>];

    /// Takes all increments or none. If there are none yet, it takes any number.
    fn push<'a>(&mut self, increments: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        let new = increments.iter().filter(|increment| !self.sums.contains_key(increment.name)).count();
        if new > 0 && !self.sums.is_empty() && self.sums.len() + new > self.max_names.get() {
            return Err(increments);
        }
        for increment in increments {
            let one = Sum { amount: increment.amount.into(), operations: 1 };
            match self.sums.get_mut(increment.name) {
                Some(sum) => sum.add(one),
                None => _ = self.sums.insert(increment.name.into(), one),
            }
        }
        self.operations += increments.len() as u64;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.operations
    }

    fn empty(&self) -> Self {
        Self::bounded(self.max_names)
    }

    fn put_back(&mut self, older: Self) {
        self.operations += older.operations;
        for (name, sum) in older.sums {
            self.sums.entry(name).or_default().add(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_batch_folds_known_names_and_refuses_others() {
        let mut folded = Folded::bounded(NonZeroUsize::MIN);
        let (a, b) = (Increment { name: b"a", amount: i64::MAX }, Increment { name: b"b", amount: 1 });
        folded.push(&[a]).unwrap();
        // All of them or none.
        assert!(folded.push(&[a, b]).is_err());
        folded.push(&[a]).unwrap();
        let sum = Sum { amount: 2 * i128::from(i64::MAX), operations: 2 };
        assert_eq!(folded.take(), HashMap::from([(b"a"[..].into(), sum)]));
        assert!(folded.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_put_back_adds_up_with_what_has_come_since(
            older: Vec<(u8, i64)>, newer: Vec<(u8, i64)>,
        ) {
            let fold = |increments: &[(u8, i64)]| {
                let mut folded = Folded::bounded(NonZeroUsize::MAX);
                for (name, amount) in increments {
                    folded.push(&[Increment { name: &[*name], amount: *amount }]).unwrap();
                }
                folded
            };
            let mut folded = fold(&newer);
            folded.put_back(fold(&older));
            let mut all = fold(&[older, newer].concat());
            prop_assert_eq!(folded.len(), all.len());
            prop_assert_eq!(folded.take(), all.take());
        }
    }
}
