//! Operations that are made up, the same for the same seed.

use std::time::Duration;

use counter_cluster::{NodeHandle, Total};
use counter_keyspace::KeyspaceError;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// After so many operations others get their turn, and the pace is looked at.
const BURST: u64 = 256;

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// How many operations.
    pub operations: u64,
    /// Over how many names, which are called `key-0000` and so on.
    pub names: u64,
    /// What they are: the same for the same seed.
    pub seed: u64,
    /// How many in a second at most; as fast as possible if there is no figure.
    pub per_second: Option<u64>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The counter's name.
    pub name: String,
    /// What to add.
    pub amount: i64,
}

impl Load {
    /// All operations, in order. Amounts go from -3 to 9.
    pub fn operations(self) -> impl Iterator<Item = Operation> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        (0..self.operations).map(move |_| {
            let name = format!("key-{:04}", random.u64(..self.names.max(1)));
            Operation { name, amount: random.i64(-3..=9) }
        })
    }

    /// Counts them on a node, and returns what it came to.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn send(self, node: &NodeHandle) -> Result<Total, KeyspaceError> {
        let begun = Instant::now();
        let mut sent = Total::default();
        for Operation { name, amount } in self.operations() {
            node.increment(&name, amount).await?;
            sent.value += i128::from(amount);
            sent.operations += 1;
            if sent.operations.is_multiple_of(u128::from(BURST)) {
                match self.per_second {
                    Some(rate) => tokio::time::sleep_until(begun + at_rate(sent.operations, rate)).await,
                    None => tokio::task::yield_now().await,
                }
            }
        }
        Ok(sent)
    }
}

/// When so many operations are due.
pub(crate) fn at_rate(operations: u128, per_second: u64) -> Duration {
    let micros = operations * 1_000_000 / u128::from(per_second.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_the_same_for_the_same_seed_only() {
        let load =
            |seed| Load { operations: 50, names: 5, seed, per_second: None }.operations().collect::<Vec<_>>();
        assert_eq!(load(1), load(1));
        assert_ne!(load(1), load(2));
    }

    #[test]
    fn a_rate_is_kept_over_the_whole() {
        assert_eq!(at_rate(500, 1000), Duration::from_millis(500));
    }
}
