//! Senders of operations, and records of what they have sent.

use std::collections::BTreeMap;

use counter_cluster::Total;
use counter_protocol::CounterName;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::load::{Load, due_after};

/// Operations for one node, sent in many small loads, so that the number of acknowledged ones is known at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of operations.
    pub operations: u64,
    /// Number of names.
    pub names: u64,
    /// Seed of the names and amounts.
    pub seed: u64,
    /// Number of operations in a load.
    pub at_once: u64,
    /// Maximum rate in operations per second; as fast as possible without it.
    pub per_second: Option<u64>,
}

/// Sender of a plan, which continues with the rest when the node was killed and started again.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    plan: Plan,
    /// Number of operations that have been sent.
    sent: u64,
}

/// Operations that were sent to one incarnation of a node, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Loads that it has acknowledged, with the times.
    pub acknowledged: Vec<(Load, Instant)>,
    /// Load that it may have counted in part.
    pub unacknowledged: Option<Load>,
}

impl Driver {
    /// Creates a sender at the beginning of a plan.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { plan, sent: 0 }
    }

    /// Sends until all is sent or the node is gone, and returns what was sent.
    pub async fn run(&mut self, node: &Client) -> Sent {
        let (begun, before) = (Instant::now(), self.sent);
        let mut sent = Sent::default();
        while let Some(load) = self.next_load() {
            if let Some(rate) = self.plan.per_second {
                sleep_until(begun + due_after(self.sent - before, rate)).await;
            }
            self.sent += load.operations;
            if node.count(load).await.is_err() {
                sent.unacknowledged = Some(load);
                break;
            }
            sent.acknowledged.push((load, Instant::now()));
        }
        sent
    }

    /// Returns true if nothing is left to send.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.sent >= self.plan.operations
    }

    fn next_load(&self) -> Option<Load> {
        let Plan { operations, names, seed, at_once, .. } = self.plan;
        let left = operations.checked_sub(self.sent).filter(|&left| left > 0)?;
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(self.sent);
        Some(Load { operations: left.min(at_once.max(1)), names, seed })
    }
}

impl Sent {
    /// Number of operations that have been acknowledged.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.acknowledged.iter().map(|(load, _)| load.operations).sum()
    }

    /// Number of operations that have been sent, acknowledged or not.
    #[must_use]
    pub fn all_operations(&self) -> u64 {
        self.operations() + self.unacknowledged.map_or(0, |load| load.operations)
    }

    /// Time of the acknowledgement of the first operation that is not held. Of each name the first operations are held,
    /// if nobody else counts under it.
    #[must_use]
    pub fn first_lost(&self, held: &BTreeMap<CounterName, Total>) -> Option<Instant> {
        let mut left: BTreeMap<_, _> =
            held.iter().map(|(name, total)| (name.clone(), total.operations)).collect();
        let mut is_lost = |load: Load| {
            load.operations().any(|(name, _)| {
                let left = left.entry(name).or_default();
                *left == 0 || {
                    *left -= 1;
                    false
                }
            })
        };
        self.acknowledged.iter().find(|(load, _)| is_lost(*load)).map(|(_, time)| *time)
    }

    /// Returns all amounts by name in the order in which they were sent, and the number of those that were
    /// acknowledged.
    pub(crate) fn by_name(&self) -> BTreeMap<CounterName, (Vec<i64>, usize)> {
        let mut names = BTreeMap::<CounterName, (Vec<i64>, usize)>::new();
        let acknowledged = self.acknowledged.iter().map(|(load, _)| (load, true));
        let loads = acknowledged.chain(self.unacknowledged.iter().map(|load| (load, false)));
        for ((name, amount), is_acknowledged) in
            loads.flat_map(|(load, acknowledged)| load.operations().map(move |of| (of, acknowledged)))
        {
            let (amounts, acknowledged) = names.entry(name).or_default();
            amounts.push(amount);
            *acknowledged += usize::from(is_acknowledged);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_lost_is_as_old_as_its_acknowledgement() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let load = |seed| Load { operations: 10, names: 3, seed };
        let sent = Sent { acknowledged: (1..=3).map(|n| (load(n), at(n))).collect(), unacknowledged: None };
        let mut held = BTreeMap::<CounterName, Total>::new();
        assert_eq!(sent.first_lost(&held), Some(at(1)));
        let operations = sent.acknowledged.iter().flat_map(|(load, _)| load.operations());
        for (number, (name, _)) in operations.enumerate() {
            assert_eq!(sent.first_lost(&held), Some(at(1 + number as u64 / 10)));
            held.entry(name).or_default().operations += 1;
        }
        assert_eq!(sent.first_lost(&held), None);
    }
}
