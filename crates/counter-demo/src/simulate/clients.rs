//! Who sends what to which counter.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use counter_actor::{CounterError, CounterHandle};
use counter_protocol::AggregatedStats;
use indicatif::ProgressBar;
use tokio::task::coop::consume_budget;

use crate::cli::SimulateArguments;
use crate::flow::settle;
use crate::signals::Stop;

/// How many operations a client sends before it waits for the counters to catch up.
const WINDOW: u32 = 1_024;

/// The size of a simulation. Each client goes round its own counters; with fewer counters than clients, they share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) counters: usize,
    pub(crate) clients: usize,
    pub(crate) operations: u32,
    pub(crate) delay: Duration,
}

impl From<&SimulateArguments> for Plan {
    fn from(arguments: &SimulateArguments) -> Self {
        let SimulateArguments { counters, clients, operations, delay, .. } = *arguments;
        Self { counters, clients, operations, delay }
    }
}

impl Plan {
    pub(crate) const fn total_operations(&self) -> u64 {
        self.clients as u64 * self.operations as u64
    }

    /// The index of the counter that a client's nth operation goes to.
    const fn counter(&self, client: usize, n: u32) -> usize {
        if self.clients >= self.counters {
            client % self.counters
        } else {
            client + n as usize % self.share(client) * self.clients
        }
    }

    /// How many counters a client goes round.
    const fn share(&self, client: usize) -> usize {
        if self.clients >= self.counters { 1 } else { (self.counters - client).div_ceil(self.clients) }
    }
}

/// Every third operation is a decrement, beginning with the first; the amount is the counter's number.
const fn is_decrement(n: u32) -> bool {
    n.is_multiple_of(3)
}

/// What clients have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Increments minus decrements.
    pub(crate) value: i128,
    pub(crate) operations: u64,
}

impl Sent {
    /// Whether these statistics are those of counters that applied exactly this.
    pub(crate) fn equals(&self, totals: &AggregatedStats) -> bool {
        totals.unanswered.is_empty()
            && totals.refused_operations == 0
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

/// Sends one client's operations, or as many as there is time for before it is asked to stop.
pub(crate) async fn run(
    client: usize,
    plan: Plan,
    counters: Arc<[CounterHandle]>,
    progress: ProgressBar,
    mut stop: Stop,
) -> Result<Sent, CounterError> {
    let mut sent = Sent::default();
    let round = WINDOW.min(u32::try_from(plan.share(client)).unwrap_or(WINDOW));
    for n in 0..plan.operations {
        if n > 0 && !plan.delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(plan.delay) => {}
                () = stop.wait() => {}
            }
        }
        if stop.requested().is_some() {
            break;
        }
        let index = plan.counter(client, n);
        let amount = i64::try_from(index + 1).expect("counters are few enough to number");
        if is_decrement(n) {
            counters[index].decrement(amount)?;
            sent += Sent { value: -i128::from(amount), operations: 1 };
        } else {
            counters[index].increment(amount)?;
            sent += Sent { value: amount.into(), operations: 1 };
        }
        progress.inc(1);
        if (n + 1).is_multiple_of(WINDOW) {
            settle((n + 1 - round..=n).map(|n| &counters[plan.counter(client, n)])).await?;
        }
        consume_budget().await;
    }
    let last = u32::try_from(sent.operations).unwrap_or(plan.operations);
    settle((last.saturating_sub(round)..last).map(|n| &counters[plan.counter(client, n)])).await?;
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
            assert!((0..50).all(|n| plan.counter(client, n) == client));
        }
    }

    #[test]
    fn every_counter_is_some_clients() {
        for (counters, clients) in [(10, 3), (3, 10), (7, 7), (1, 5), (5, 1), (10_000, 1_000)] {
            let plan = plan(counters, clients, 0);
            let mut reached = vec![false; counters];
            for client in 0..clients {
                for n in 0..u32::try_from(counters).unwrap() {
                    reached[plan.counter(client, n)] = true;
                }
            }
            assert!(reached.iter().all(|&reached| reached), "{counters} counters, {clients} clients");
        }
    }

    #[test]
    fn a_difference_of_any_kind_is_seen() {
        let sent = Sent { value: 160, operations: 200 };
        let exact = AggregatedStats { total_value: 160, total_operations: 200, ..AggregatedStats::default() };
        assert!(sent.equals(&exact));
        assert!(!sent.equals(&AggregatedStats { total_value: 161, ..exact.clone() }));
        assert!(!sent.equals(&AggregatedStats { total_operations: 199, ..exact.clone() }));
        assert!(!sent.equals(&AggregatedStats { refused_operations: 1, ..exact.clone() }));
        assert!(!sent.equals(&AggregatedStats { unanswered: ["a".into()].into(), ..exact }));
    }
}
