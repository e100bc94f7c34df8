//! Clients, and the plan by which they send operations to counters.

use std::ops::AddAssign;
use std::time::Duration;

use counter_actor::CounterHandle;
use counter_cli::{Failure, Stop};
use counter_keyspace::KeyspaceHandle;
use counter_protocol::AggregatedStats;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::task::coop::consume_budget;

use crate::cli::SimulateArguments;

/// Size of a simulation. Each client goes round its own counters; with fewer counters than clients, they share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) counters: usize,
    pub(crate) clients: usize,
    pub(crate) operations: u32,
    pub(crate) delay: Duration,
}

impl From<&SimulateArguments> for Plan {
    fn from(arguments: &SimulateArguments) -> Self {
        let SimulateArguments { clients, operations, delay, .. } = *arguments;
        Self { counters: arguments.counters(), clients, operations, delay }
    }
}

impl Plan {
    pub(crate) const fn total_operations(&self) -> u64 {
        self.clients as u64 * self.operations as u64
    }

    /// Returns the indices of the counters that a client goes round.
    pub(crate) fn counters_of(&self, client: usize) -> impl Iterator<Item = usize> {
        let (first, step) = if self.clients < self.counters {
            (client, self.clients)
        } else {
            (client % self.counters, self.counters)
        };
        (first..self.counters).step_by(step)
    }
}

/// Returns true for every third operation, beginning with the first. The amount is the counter's number.
const fn is_decrement(n: u32) -> bool {
    n.is_multiple_of(3)
}

/// Sum of the operations that clients have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sent {
    /// Increments minus decrements.
    pub(crate) value: i128,
    pub(crate) operations: u64,
}

impl Sent {
    /// Returns true if these are the statistics of counters that have applied exactly this.
    pub(crate) fn equals(&self, totals: &AggregatedStats) -> bool {
        totals.unanswered.is_empty()
            && totals.rejected_operations == 0
            && totals.total_value == self.value
            && totals.total_operations == u128::from(self.operations)
    }
}

impl AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.value += other.value;
        self.operations += other.operations;
    }
}

/// Handles of a client's counters.
#[derive(Debug)]
pub(crate) enum Target {
    /// A handle of each, in the order in which the client goes round.
    Counters(Vec<CounterHandle>),
    /// One handle of all names.
    Keyspace(KeyspaceHandle),
}

impl Target {
    /// Adds to the counter with this index, which is at `place` in the round.
    async fn add(&self, place: usize, index: usize, amount: i64) -> Result<(), Failure> {
        match self {
            Self::Counters(counters) => counters[place].increment(amount)?,
            Self::Keyspace(keyspace) => keyspace.increment(format!("counter-{}", index + 1), amount).await?,
        }
        Ok(())
    }
}

/// Sends one client's operations until all are sent or a stop is requested.
pub(crate) async fn run(
    client: usize,
    plan: Plan,
    target: Target,
    progress: ProgressBar,
    mut stop: Stop,
) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    let round: Vec<_> = plan.counters_of(client).collect();
    for (n, (place, &index)) in (0..plan.operations).zip(round.iter().enumerate().cycle()) {
        if n > 0 && !plan.delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(plan.delay) => {}
                _signal = stop.wait() => {}
            }
        }
        if stop.requested().is_some() {
            break;
        }
        let number = i64::try_from(index + 1).expect("counters can be numbered");
        // The other sign of an increment is a decrement.
        let amount = if is_decrement(n) { -number } else { number };
        target.add(place, index, amount).await?;
        sent += Sent { value: amount.into(), operations: 1 };
        progress.inc(1);
        consume_budget().await;
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn plan(counters: usize, clients: usize, operations: u32) -> Plan {
        Plan { counters, clients, operations, delay: Duration::ZERO }
    }

    #[test]
    fn as_many_clients_as_counters_keep_one_each() {
        let plan = plan(4, 4, 50);
        for client in 0..4 {
            assert_eq!(plan.counters_of(client).collect::<Vec<_>>(), [client]);
        }
    }

    #[test]
    fn every_counter_is_some_clients() {
        for (counters, clients) in [(10, 3), (3, 10), (7, 7), (1, 5), (5, 1), (10_000, 1_000)] {
            let plan = plan(counters, clients, 0);
            let mut reached: Vec<_> = (0..clients).flat_map(|client| plan.counters_of(client)).collect();
            assert!((0..clients).all(|client| plan.counters_of(client).count() > 0));
            reached.sort_unstable();
            reached.dedup();
            assert!(reached.into_iter().eq(0..counters), "{counters} counters, {clients} clients");
        }
    }

    #[test]
    fn a_difference_of_any_kind_is_seen() {
        let sent = Sent { value: 160, operations: 200 };
        let exact = AggregatedStats { total_value: 160, total_operations: 200, ..AggregatedStats::default() };
        assert!(sent.equals(&exact));
        assert!(!sent.equals(&AggregatedStats { total_value: 161, ..exact.clone() }));
        assert!(!sent.equals(&AggregatedStats { total_operations: 199, ..exact.clone() }));
        assert!(!sent.equals(&AggregatedStats { rejected_operations: 1, ..exact.clone() }));
        assert!(!sent.equals(&AggregatedStats {
            unanswered: [counter_protocol::CounterName::from_static("a")].into(),
            ..exact
        }));
    }
}
