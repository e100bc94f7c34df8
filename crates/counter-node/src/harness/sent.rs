//! What was sent to nodes, worked out anew and compared with what they hold.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail, ensure};
use counter_cluster::Total;
use counter_protocol::CounterName;
use tokio::time::{Instant, sleep_until};

use super::process::Client;
use crate::load::{Load, at_rate};
use crate::requests::{Answer, Request};

/// Operations for one node, in many small loads: so it is known at any time how many have been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many operations.
    pub operations: u64,
    /// Over how many names.
    pub names: u64,
    /// What they are.
    pub seed: u64,
    /// How many in one load.
    pub at_once: u64,
    /// How many in a second at most.
    pub per_second: Option<u64>,
}

/// Sends what is planned for a node, and goes on with the rest when the node has been killed and started again.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    plan: Plan,
    /// How many operations have been sent.
    sent: u64,
}

/// What was sent to one incarnation of a node, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// What it has acknowledged.
    pub acknowledged: Vec<Load>,
    /// What it may have counted in part.
    pub unacknowledged: Option<Load>,
}

/// What the others hold of what a killed node had counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What they hold.
    pub total: Total,
    /// How many operations they do not hold, though they were acknowledged.
    pub lost: u64,
}

impl Driver {
    /// At the beginning of a plan.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { plan, sent: 0 }
    }

    /// Sends until all is sent, or the node is gone. The second is an end like the first: what comes of it is what was sent.
    pub async fn run(&mut self, node: &Client) -> Sent {
        let (begun, before) = (Instant::now(), self.sent);
        let mut sent = Sent::default();
        while let Some(load) = self.next_load() {
            if let Some(rate) = self.plan.per_second {
                sleep_until(begun + at_rate(u128::from(self.sent - before), rate)).await;
            }
            self.sent += load.operations;
            match node.ask(Request::Load(load)).await {
                Ok(Answer::Loaded(_)) => sent.acknowledged.push(load),
                Ok(_) | Err(_) => {
                    sent.unacknowledged = Some(load);
                    break;
                }
            }
        }
        sent
    }

    /// Whether there is nothing left to send.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.sent >= self.plan.operations
    }

    fn next_load(&self) -> Option<Load> {
        let Plan { operations, names, seed, at_once, .. } = self.plan;
        let left = operations.checked_sub(self.sent).filter(|&left| left > 0)?;
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(self.sent);
        Some(Load { operations: left.min(at_once.max(1)), names, seed, per_second: None })
    }
}

impl Sent {
    /// How many operations have been acknowledged.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.acknowledged.iter().map(|load| load.operations).sum()
    }

    /// All amounts by name in the order in which they were sent, and how many of those were acknowledged.
    fn by_name(&self) -> BTreeMap<CounterName, (Vec<i64>, usize)> {
        let mut names = BTreeMap::<CounterName, (Vec<i64>, usize)>::new();
        let acknowledged = self.acknowledged.iter().map(|load| (load, true));
        let loads = acknowledged.chain(self.unacknowledged.iter().map(|load| (load, false)));
        for (operation, is_acknowledged) in
            loads.flat_map(|(load, acknowledged)| load.operations().map(move |of| (of, acknowledged)))
        {
            let (amounts, acknowledged) =
                names.entry(CounterName::new(operation.name).expect("a load's names are short")).or_default();
            amounts.push(operation.amount);
            *acknowledged += usize::from(is_acknowledged);
        }
        names
    }
}

/// Compares what a node holds of each name with what was sent: just that, of those that live; and of one that was killed, of
/// each name any number of the first operations.
///
/// # Errors
/// If it holds anything else.
pub fn compare(alive: &[Sent], killed: Option<&Sent>, held: &[(CounterName, Total)]) -> anyhow::Result<Kept> {
    let mut rest: BTreeMap<_, _> = held.iter().cloned().collect();
    for sent in alive {
        ensure!(
            sent.unacknowledged.is_none(),
            "a node that was not killed has not acknowledged what it was sent"
        );
        for (name, (amounts, _)) in sent.by_name() {
            let missing = || anyhow!("{name} is not as it was sent: something is missing");
            let total = rest.get_mut(&name).ok_or_else(missing)?;
            total.value -= amounts.iter().copied().map(i128::from).sum::<i128>();
            total.operations = total.operations.checked_sub(amounts.len() as u128).ok_or_else(missing)?;
        }
    }
    let mut kept = Kept::default();
    for (name, (amounts, acknowledged)) in killed.map(Sent::by_name).unwrap_or_default() {
        let total = rest.remove(&name).unwrap_or_default();
        let known = usize::try_from(total.operations).ok().and_then(|operations| amounts.get(..operations));
        match known {
            Some(known) if known.iter().copied().map(i128::from).sum::<i128>() == total.value => {
                kept.total.value += total.value;
                kept.total.operations += total.operations;
                kept.lost += acknowledged.saturating_sub(known.len()) as u64;
            }
            _ => bail!("{name} is not as it was sent, to the end or in part: it differs by {total:?}"),
        }
    }
    match rest.into_iter().find(|(_, total)| *total != Total::default()) {
        Some((name, differing)) => bail!("{name} is not as it was sent: it differs by {differing:?}"),
        None => Ok(kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(seed: u64) -> Sent {
        let load = |seed| Load { operations: 50, names: 3, seed, per_second: None };
        Sent { acknowledged: vec![load(seed), load(seed + 1)], unacknowledged: None }
    }

    /// What would be held after so many operations of each name.
    fn held(sent: &[&Sent], most: usize) -> Vec<(CounterName, Total)> {
        let mut held = BTreeMap::<CounterName, Total>::new();
        for (name, (amounts, _)) in sent.iter().flat_map(|sent| sent.by_name()) {
            let total = held.entry(name).or_default();
            for amount in amounts.into_iter().take(most) {
                total.value += i128::from(amount);
                total.operations += 1;
            }
        }
        held.into_iter().collect()
    }

    #[test]
    fn just_what_was_sent_is_right_and_one_more_or_less_is_not() {
        let (a, b) = (sent(1), sent(7));
        let mut held = held(&[&a, &b], usize::MAX);
        let alive = [a, b];
        assert_eq!(compare(&alive, None, &held).unwrap(), Kept::default());
        held[1].1.value += 1;
        assert!(compare(&alive, None, &held).is_err());
        held[1].1.value -= 1;
        held[1].1.operations -= 1;
        assert!(compare(&alive, None, &held).is_err());
        held[1].1.operations += 1;
        held.push((CounterName::from_static("unknown"), Total { value: 0, operations: 1 }));
        assert!(compare(&alive, None, &held).is_err());
        assert!(compare(&alive, None, &[]).is_err());
    }

    #[test]
    fn of_a_killed_node_the_first_operations_of_each_name_may_be_held() {
        let killed = sent(3);
        assert_eq!(compare(&[], Some(&killed), &held(&[&killed], 1000)).unwrap().lost, 0);
        let mut part = held(&[&killed], 9);
        let kept = compare(&[], Some(&killed), &part).unwrap();
        assert_eq!((kept.total.operations, kept.lost), (27, 73));
        assert_eq!(compare(&[], Some(&killed), &[]).unwrap().lost, 100);
        part[0].1.value += 1;
        assert!(compare(&[], Some(&killed), &part).is_err());
    }

    #[test]
    fn what_was_not_acknowledged_is_not_lost_if_it_is_missing() {
        let mut killed = sent(3);
        killed.unacknowledged = killed.acknowledged.pop();
        let kept = compare(&[], Some(&killed), &[]).unwrap();
        assert_eq!(kept.lost, 50);
        assert!(compare(&[killed], None, &[]).is_err());
    }
}
