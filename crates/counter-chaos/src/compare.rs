//! Comparison of the counters that a node holds with those that follow from the operations that were sent. Pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{anyhow, bail, ensure};
use counter_cluster::Total;
use counter_protocol::CounterName;

use super::sent::Sent;

/// Operations of killed nodes that the others hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Their sum.
    pub total: Total,
    /// Number of operations that were acknowledged and that the others do not hold.
    pub lost: u64,
}

/// Compares the counters that a node holds with the operations that were sent. Of the nodes that live, it has to hold
/// all; of each one that was killed, of each name any number of the first operations.
///
/// # Errors
/// If it holds anything else.
pub fn compare(alive: &[Sent], killed: &[Sent], held: &[(CounterName, Total)]) -> anyhow::Result<Kept> {
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
    for (name, sent) in by_name(killed) {
        let total = rest.remove(&name).unwrap_or_default();
        if !beginnings(&sent).contains(&(total.operations, total.value)) {
            bail!("{name} is not as it was sent, to the end or in part: it differs by {total:?}");
        }
        kept.total.value += total.value;
        kept.total.operations += total.operations;
        let acknowledged: u128 = sent.iter().map(|(_, acknowledged)| *acknowledged as u128).sum();
        kept.lost += u64::try_from(acknowledged.saturating_sub(total.operations))?;
    }
    match rest.into_iter().find(|(_, total)| *total != Total::default()) {
        Some((name, differing)) => bail!("{name} is not as it was sent: it differs by {differing:?}"),
        None => Ok(kept),
    }
}

/// Returns by name the amounts that were sent to each node, and the number of them that were acknowledged.
fn by_name(sent: &[Sent]) -> BTreeMap<CounterName, Vec<(Vec<i64>, usize)>> {
    let mut names = BTreeMap::<_, Vec<_>>::new();
    for (name, amounts) in sent.iter().flat_map(Sent::by_name) {
        names.entry(name).or_default().push(amounts);
    }
    names
}

/// Returns all numbers of operations and values that the first amounts of each of these can add up to.
fn beginnings(sent: &[(Vec<i64>, usize)]) -> BTreeSet<(u128, i128)> {
    sent.iter().fold(BTreeSet::from([(0, 0)]), |before, (amounts, _)| {
        let begin = |&start: &(u128, i128)| {
            let next = |sum: &mut (u128, i128), &amount: &i64| {
                *sum = (sum.0 + 1, sum.1 + i128::from(amount));
                Some(*sum)
            };
            std::iter::once(start).chain(amounts.iter().scan(start, next))
        };
        before.iter().flat_map(begin).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::slice;

    use tokio::time::Instant;

    use super::*;
    use crate::load::Load;

    fn sent(seed: u64) -> Sent {
        let load = |seed| Load { operations: 50, names: 3, seed };
        let acknowledged = [seed, seed + 1].map(|seed| (load(seed), Instant::now()));
        Sent { acknowledged: acknowledged.into(), unacknowledged: None }
    }

    /// Returns the counters after the first `most` operations of each name.
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
        assert_eq!(compare(&alive, &[], &held).unwrap(), Kept::default());
        held[1].1.value += 1;
        assert!(compare(&alive, &[], &held).is_err());
        held[1].1.value -= 1;
        held[1].1.operations -= 1;
        assert!(compare(&alive, &[], &held).is_err());
        held[1].1.operations += 1;
        held.push((CounterName::from_static("unknown"), Total { value: 0, operations: 1 }));
        assert!(compare(&alive, &[], &held).is_err());
        assert!(compare(&alive, &[], &[]).is_err());
    }

    #[test]
    fn of_a_killed_node_the_first_operations_of_each_name_may_be_held() {
        let killed = sent(3);
        assert_eq!(compare(&[], slice::from_ref(&killed), &held(&[&killed], 1000)).unwrap().lost, 0);
        let mut part = held(&[&killed], 9);
        let kept = compare(&[], slice::from_ref(&killed), &part).unwrap();
        assert_eq!((kept.total.operations, kept.lost), (27, 73));
        assert_eq!(compare(&[], slice::from_ref(&killed), &[]).unwrap().lost, 100);
        part[0].1.value += 1;
        assert!(compare(&[], slice::from_ref(&killed), &part).is_err());
    }

    #[test]
    fn what_was_not_acknowledged_is_not_lost_if_it_is_missing() {
        let mut killed = sent(3);
        killed.unacknowledged = killed.acknowledged.pop().map(|(load, _)| load);
        let kept = compare(&[], slice::from_ref(&killed), &[]).unwrap();
        assert_eq!(kept.lost, 50);
        assert!(compare(&[killed], &[], &[]).is_err());
    }

    #[test]
    fn of_several_killed_nodes_each_has_a_beginning_of_its_own() {
        let killed = [sent(3), sent(8)];
        let [first, second] = &killed;
        let mut both: BTreeMap<_, _> = held(&[first], 9).into_iter().collect();
        for (name, total) in held(&[second], 4) {
            let sum = both.entry(name).or_default();
            sum.value += total.value;
            sum.operations += total.operations;
        }
        let mut both: Vec<_> = both.into_iter().collect();
        let kept = compare(&[], &killed, &both).unwrap();
        assert_eq!((kept.total.operations, kept.lost), (39, 161));
        // Twelve operations can add up to no more than 9 each.
        both[0].1.value += 9 * 13;
        assert!(compare(&[], &killed, &both).is_err());
        both[0].1.value -= 9 * 13;
        both[0].1.operations += 1000;
        assert!(compare(&[], &killed, &both).is_err());
    }
}
