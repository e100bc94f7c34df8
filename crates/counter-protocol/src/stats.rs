use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::CounterName;
use crate::rate::Rate;

/// Statistics of one counter, cumulative since it was first started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStats {
    /// Applied increments minus applied decrements, plus the initial value.
    pub current_value: i64,
    /// Number of applied operations. Never decreases.
    pub total_operations: u64,
    /// Number of operations that were refused because they would have left the range of `i64`.
    pub rejected_operations: u64,
    /// Number of restarts of the counter's actor.
    pub restarts: u64,
    /// Mean rate of applied operations since it was first started in this process.
    pub operations_per_second: Rate,
}

/// Statistics of any number of counters.
///
/// A commutative monoid: [`merge`](Self::merge) is associative and commutative, and the default value (no counters)
/// is its identity. Aggregators can therefore nest and add up in any order. Counters that are merged must differ in
/// name; to merge across several namespaces, qualify the names first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregatedStats {
    /// Sum of the counters' values. Exact: 2⁶⁴ counters cannot overflow it.
    pub total_value: i128,
    /// Sum of the counters' applied operations.
    pub total_operations: u128,
    /// Sum of the counters' rejected operations.
    pub rejected_operations: u128,
    /// Sum of the counters' restarts.
    pub restarts: u128,
    /// Number of counters, including those that did not answer.
    pub num_counters: u64,
    /// Sum of the counters' mean rates since each started.
    pub operations_per_second: Rate,
    /// Sum of the counters' rates between their last two answers.
    pub recent_operations_per_second: Rate,
    /// Counters that did not answer the last collection, because they were too slow, dead, or not asked yet. Their
    /// last answers are in the sums above.
    pub unanswered: BTreeSet<CounterName>,
}

impl AggregatedStats {
    /// Returns the statistics of one counter, without a recent rate.
    #[must_use]
    pub fn of_counter(stats: &CounterStats) -> Self {
        Self {
            total_value: stats.current_value.into(),
            total_operations: stats.total_operations.into(),
            rejected_operations: stats.rejected_operations.into(),
            restarts: stats.restarts.into(),
            num_counters: 1,
            operations_per_second: stats.operations_per_second,
            ..Self::default()
        }
    }

    /// Adds up two sets of counters.
    ///
    /// ```
    /// use counter_protocol::{AggregatedStats, CounterStats};
    ///
    /// let five = CounterStats { current_value: 5, total_operations: 1, ..Default::default() };
    /// let one = AggregatedStats::of_counter(&five);
    /// let two = one.clone().merge(one);
    /// assert_eq!((two.total_value, two.total_operations, two.num_counters), (10, 2, 2));
    /// ```
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.unanswered.extend(other.unanswered);
        Self {
            total_value: self.total_value + other.total_value,
            total_operations: self.total_operations + other.total_operations,
            rejected_operations: self.rejected_operations + other.rejected_operations,
            restarts: self.restarts + other.restarts,
            num_counters: self.num_counters + other.num_counters,
            operations_per_second: self.operations_per_second + other.operations_per_second,
            recent_operations_per_second: self.recent_operations_per_second
                + other.recent_operations_per_second,
            unanswered: self.unanswered,
        }
    }

    /// Returns the mean of the counters' mean rates; 0 without counters.
    #[must_use]
    pub fn avg_ops_per_second(&self) -> f64 {
        self.operations_per_second.per_second() / self.num_counters.max(1) as f64
    }
}

impl FromIterator<Self> for AggregatedStats {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), Self::merge)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn one_counter()(
            current_value: i64, total_operations: u64, rejected_operations: u64, restarts: u64,
            rate: f64, recent: f64, silent: Option<u8>,
        ) -> AggregatedStats {
            let stats = CounterStats {
                current_value, total_operations, rejected_operations, restarts,
                operations_per_second: rate.into(),
            };
            AggregatedStats {
                recent_operations_per_second: recent.into(),
                unanswered: silent.into_iter().map(|n: u8| CounterName::new(n.to_string()).unwrap()).collect(),
                ..AggregatedStats::of_counter(&stats)
            }
        }
    }

    fn some_counters() -> impl Strategy<Value = AggregatedStats> {
        prop::collection::vec(one_counter(), 0..5).prop_map(AggregatedStats::from_iter)
    }

    proptest! {
        #[test]
        fn merging_is_associative(a in some_counters(), b in some_counters(), c in some_counters()) {
            prop_assert_eq!(
                a.clone().merge(b.clone()).merge(c.clone()),
                a.merge(b.merge(c)),
            );
        }

        #[test]
        fn merging_is_commutative(a in some_counters(), b in some_counters()) {
            prop_assert_eq!(a.clone().merge(b.clone()), b.merge(a));
        }

        #[test]
        fn no_counters_is_the_identity(a in some_counters()) {
            prop_assert_eq!(a.clone().merge(AggregatedStats::default()), a.clone());
            prop_assert_eq!(AggregatedStats::default().merge(a.clone()), a);
        }

        #[test]
        fn totals_are_exact_beyond_64_bits(values: Vec<i64>) {
            let total: AggregatedStats = values
                .iter()
                .map(|&current_value| CounterStats { current_value, ..CounterStats::default() })
                .map(|stats| AggregatedStats::of_counter(&stats))
                .collect();
            prop_assert_eq!(total.total_value, values.iter().copied().map(i128::from).sum::<i128>());
        }

        #[test]
        fn statistics_survive_json(a in some_counters()) {
            let read: AggregatedStats = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
            prop_assert_eq!(read.unanswered, a.unanswered);
            prop_assert_eq!((read.total_value, read.num_counters), (a.total_value, a.num_counters));
        }
    }

    #[test]
    fn the_average_rate_is_per_counter() {
        let rate = |per_second: f64| {
            let stats = CounterStats { operations_per_second: per_second.into(), ..CounterStats::default() };
            AggregatedStats::of_counter(&stats)
        };
        assert_eq!(rate(10.0).merge(rate(20.0)).avg_ops_per_second(), 15.0);
        assert_eq!(AggregatedStats::default().avg_ops_per_second(), 0.0);
    }
}
