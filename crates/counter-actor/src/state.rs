use std::time::Duration;

use counter_protocol::{Count, CounterStats, Delta, Overflow, Rate};

/// A counter's arithmetic.
///
/// Each operation is applied exactly or rejected whole: the value never wraps and never saturates.
///
/// ```
/// use counter_actor::Counter;
/// use counter_protocol::Overflow;
///
/// let mut counter = Counter::new(i64::MAX);
/// assert_eq!(counter.increment(1), Err(Overflow));
/// assert_eq!(counter.decrement(1), Ok(()));
/// assert_eq!(counter.value(), i64::MAX - 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    count: Count,
    rejected: u64,
    restarts: u64,
    initial_operations: u64,
}

impl From<Count> for Counter {
    /// Creates a counter that resumes from a value and a number of operations.
    fn from(count: Count) -> Self {
        Self { count, rejected: 0, restarts: 0, initial_operations: count.operations }
    }
}

impl Counter {
    /// Creates a counter at a value, after no operations.
    #[must_use]
    pub fn new(value: i64) -> Self {
        Self::from(Count { value, operations: 0 })
    }

    /// Adds `amount`.
    ///
    /// # Errors
    /// [`Overflow`]: nothing has changed except the number of rejections.
    pub fn increment(&mut self, amount: i64) -> Result<(), Overflow> {
        self.apply(i128::from(amount).into())
    }

    /// Subtracts `amount`.
    ///
    /// # Errors
    /// [`Overflow`]: nothing has changed except the number of rejections.
    pub fn decrement(&mut self, amount: i64) -> Result<(), Overflow> {
        self.apply((-i128::from(amount)).into())
    }

    /// Applies operations that were folded into one, together.
    ///
    /// # Errors
    /// [`Overflow`] if their sum does not fit: nothing has changed except the number of rejections, which all of them
    /// have joined.
    pub fn apply(&mut self, delta: Delta) -> Result<(), Overflow> {
        let outcome = self.count.apply(delta);
        if outcome.is_err() {
            self.rejected = self.rejected.saturating_add(delta.operations);
        }
        outcome
    }

    /// Counts a restart of the counter's actor.
    pub const fn restarted(&mut self) {
        self.restarts += 1;
    }

    /// Returns the applied increments minus the applied decrements, plus the initial value.
    #[must_use]
    pub const fn value(&self) -> i64 {
        self.count.value
    }

    /// Returns the number of rejected operations.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Returns the statistics of a counter with this uptime. The rate leaves the initial operations out.
    #[must_use]
    pub fn stats(&self, uptime: Duration) -> CounterStats {
        CounterStats {
            current_value: self.count.value,
            total_operations: self.count.operations,
            rejected_operations: self.rejected,
            restarts: self.restarts,
            operations_per_second: Rate::of(self.count.operations - self.initial_operations, uptime),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Generates amounts that are small, at the edges, or anything.
    fn amount() -> impl Strategy<Value = i64> {
        prop_oneof![-9..=9_i64, Just(i64::MIN), Just(i64::MAX), any::<i64>()]
    }

    proptest! {
        #[test]
        fn it_agrees_with_arithmetic_that_cannot_overflow(
            start: i64,
            operations in prop::collection::vec((any::<bool>(), amount()), 0..50),
        ) {
            let mut counter = Counter::new(start);
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
            prop_assert_eq!(stats.rejected_operations, operations.len() as u64 - applied);
        }
    }

    #[test]
    fn operations_that_were_folded_are_rejected_together() {
        let mut counter = Counter::from(Count { value: i64::MAX - 5, operations: 1 });
        assert_eq!(counter.apply(Delta { value: 6, operations: 3 }), Err(Overflow));
        assert_eq!(counter.apply(Delta { value: 5, operations: 2 }), Ok(()));
        let stats = counter.stats(Duration::ZERO);
        assert_eq!(
            (stats.current_value, stats.total_operations, stats.rejected_operations),
            (i64::MAX, 3, 3)
        );
        assert_eq!(counter.apply(Delta { value: i128::MAX, operations: 1 }), Err(Overflow));
    }

    #[test]
    fn an_overflowing_increment_changes_nothing_but_the_rejections() {
        let mut counter = Counter::from(Count { value: i64::MAX, operations: 7 });
        assert_eq!(counter.increment(1), Err(Overflow));
        let stats = counter.stats(Duration::ZERO);
        assert_eq!(
            (stats.current_value, stats.total_operations, stats.rejected_operations),
            (i64::MAX, 7, 1)
        );
    }

    #[test]
    fn subtracting_the_smallest_number_is_exact() {
        let mut counter = Counter::new(-1);
        assert_eq!(counter.decrement(i64::MIN), Ok(()));
        assert_eq!(counter.value(), i64::MAX);
        assert_eq!(counter.decrement(i64::MIN), Err(Overflow));
    }

    #[test]
    fn an_operation_that_cannot_be_numbered_is_rejected() {
        let mut counter = Counter::from(Count { value: 0, operations: u64::MAX });
        assert_eq!(counter.increment(1), Err(Overflow));
        assert_eq!(counter.value(), 0);
    }

    #[test]
    fn the_rate_is_of_this_life_only() {
        let mut counter = Counter::from(Count { value: 0, operations: 1_000_000 });
        counter.increment(1).unwrap();
        assert_eq!(counter.stats(Duration::from_secs(2)).operations_per_second, Rate::from(0.5));
    }
}
