use std::time::Duration;

use counter_protocol::{CounterStats, Delta, Rate};

/// A counter's arithmetic.
///
/// Each operation is applied exactly or refused whole: the value never wraps and never saturates.
///
/// ```
/// use counter_actor::{Counter, Refused};
///
/// let mut counter = Counter::new(i64::MAX, 0);
/// assert_eq!(counter.increment(1), Err(Refused));
/// assert_eq!(counter.decrement(1), Ok(()));
/// assert_eq!(counter.value(), i64::MAX - 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    count: Count,
    refused: u64,
    restarts: u64,
    initial_operations: u64,
}

/// A value and the number of operations that have led to it: the least that there is of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Applied increments minus applied decrements, plus the initial value.
    pub value: i64,
    /// How many operations were applied.
    pub operations: u64,
}

/// The operation would have taken the value out of the range of `i64`, or the number of operations out of `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl Count {
    /// Applies operations that were folded into one, together.
    ///
    /// # Errors
    /// [`Refused`] if their sum does not fit: nothing has changed.
    pub fn apply(&mut self, delta: Delta) -> Result<(), Refused> {
        let value = i128::from(self.value).checked_add(delta.value).ok_or(Refused)?;
        let value = i64::try_from(value).map_err(|_| Refused)?;
        let operations = self.operations.checked_add(delta.operations).ok_or(Refused)?;
        *self = Self { value, operations };
        Ok(())
    }
}

impl Counter {
    /// A counter that goes on from a value and a number of operations; both are 0 for a new one.
    #[must_use]
    pub const fn new(value: i64, operations: u64) -> Self {
        Self { count: Count { value, operations }, refused: 0, restarts: 0, initial_operations: operations }
    }

    /// Adds `amount`.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed except the number of refusals.
    pub fn increment(&mut self, amount: i64) -> Result<(), Refused> {
        self.apply(i128::from(amount).into())
    }

    /// Subtracts `amount`.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed except the number of refusals.
    pub fn decrement(&mut self, amount: i64) -> Result<(), Refused> {
        self.apply((-i128::from(amount)).into())
    }

    /// Applies operations that were folded into one, together.
    ///
    /// # Errors
    /// [`Refused`] if their sum does not fit: nothing has changed except the number of refusals, which all of them
    /// have joined.
    pub fn apply(&mut self, delta: Delta) -> Result<(), Refused> {
        let outcome = self.count.apply(delta);
        if outcome.is_err() {
            self.refused = self.refused.saturating_add(delta.operations);
        }
        outcome
    }

    /// Its actor has been restarted.
    pub const fn restarted(&mut self) {
        self.restarts += 1;
    }

    /// Applied increments minus applied decrements, plus the initial value.
    #[must_use]
    pub const fn value(&self) -> i64 {
        self.count.value
    }

    /// How many operations were refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// The statistics of a counter that has been up for so long; the rate leaves the initial operations out.
    #[must_use]
    pub fn stats(&self, uptime: Duration) -> CounterStats {
        CounterStats {
            current_value: self.count.value,
            total_operations: self.count.operations,
            refused_operations: self.refused,
            restarts: self.restarts,
            operations_per_second: Rate::of(self.count.operations - self.initial_operations, uptime),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Amounts that are small, at the edges, or anything.
    fn amount() -> impl Strategy<Value = i64> {
        prop_oneof![-9..=9_i64, Just(i64::MIN), Just(i64::MAX), any::<i64>()]
    }

    proptest! {
        #[test]
        fn it_agrees_with_arithmetic_that_cannot_overflow(
            start: i64,
            operations in prop::collection::vec((any::<bool>(), amount()), 0..50),
        ) {
            let mut counter = Counter::new(start, 0);
            let (mut value, mut applied) = (i128::from(start), 0);
            for (is_increment, amount) in &operations {
                let wanted = if *is_increment { value + i128::from(*amount) } else { value - i128::from(*amount) };
                let fits = i64::try_from(wanted).is_ok();
                let outcome =
                    if *is_increment { counter.increment(*amount) } else { counter.decrement(*amount) };
                prop_assert_eq!(outcome.is_ok(), fits);
                if fits {
                    (value, applied) = (wanted, applied + 1);
                }
            }
            let stats = counter.stats(Duration::from_secs(1));
            prop_assert_eq!(i128::from(stats.current_value), value);
            prop_assert_eq!(stats.total_operations, applied);
            prop_assert_eq!(stats.refused_operations, operations.len() as u64 - applied);
        }
    }

    #[test]
    fn operations_that_were_folded_are_refused_together() {
        let mut counter = Counter::new(i64::MAX - 5, 1);
        assert_eq!(counter.apply(Delta { value: 6, operations: 3 }), Err(Refused));
        assert_eq!(counter.apply(Delta { value: 5, operations: 2 }), Ok(()));
        let stats = counter.stats(Duration::ZERO);
        assert_eq!((stats.current_value, stats.total_operations, stats.refused_operations), (i64::MAX, 3, 3));
        assert_eq!(counter.apply(Delta { value: i128::MAX, operations: 1 }), Err(Refused));
    }

    #[test]
    fn an_overflowing_increment_changes_nothing_but_the_refusals() {
        let mut counter = Counter::new(i64::MAX, 7);
        assert_eq!(counter.increment(1), Err(Refused));
        let stats = counter.stats(Duration::ZERO);
        assert_eq!((stats.current_value, stats.total_operations, stats.refused_operations), (i64::MAX, 7, 1));
    }

    #[test]
    fn subtracting_the_smallest_number_is_exact() {
        let mut counter = Counter::new(-1, 0);
        assert_eq!(counter.decrement(i64::MIN), Ok(()));
        assert_eq!(counter.value(), i64::MAX);
        assert_eq!(counter.decrement(i64::MIN), Err(Refused));
    }

    #[test]
    fn an_operation_that_cannot_be_numbered_is_refused() {
        let mut counter = Counter::new(0, u64::MAX);
        assert_eq!(counter.increment(1), Err(Refused));
        assert_eq!(counter.value(), 0);
    }

    #[test]
    fn the_rate_is_of_this_life_only() {
        let mut counter = Counter::new(0, 1_000_000);
        counter.increment(1).unwrap();
        assert_eq!(counter.stats(Duration::from_secs(2)).operations_per_second, Rate::from(0.5));
    }
}
