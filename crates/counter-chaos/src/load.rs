use std::time::Duration;

use counter_protocol::CounterName;

/// Generated operations: the same for the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Number of operations.
    pub operations: u64,
    /// Number of names, which are `key-0000` and so on.
    pub names: u64,
    /// Seed of the names and amounts.
    pub seed: u64,
}

impl Load {
    /// Returns the names and amounts of all operations, in order. Amounts go from -3 to 9.
    pub fn operations(self) -> impl Iterator<Item = (CounterName, i64)> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        (0..self.operations).map(move |_| {
            let name = format!("key-{:04}", random.u64(..self.names.max(1)));
            (CounterName::new(name).expect("it is short"), random.i64(-3..=9))
        })
    }
}

/// Time from the beginning after which this number of operations is due, at a rate.
pub(crate) fn due_after(operations: u64, per_second: u64) -> Duration {
    let micros = u128::from(operations) * 1_000_000 / u128::from(per_second.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_the_same_for_the_same_seed_only() {
        let load = |seed| Load { operations: 50, names: 5, seed }.operations().collect::<Vec<_>>();
        assert_eq!(load(1), load(1));
        assert_ne!(load(1), load(2));
    }

    #[test]
    fn a_rate_is_kept_over_the_whole() {
        assert_eq!(due_after(500, 1000), Duration::from_millis(500));
    }
}
