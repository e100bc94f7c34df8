use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::key::with_hash;

fn key(name: &u8) -> Key<'_> {
    with_hash(u64::from(*name).wrapping_mul(0x9e37_79b9_7f4a_7c15), std::slice::from_ref(name))
}

#[test]
fn segments_differ_up_to_twofold_in_size() {
    let mut sizes = vec![0; SEGMENTS as usize];
    for byte in 0..=255_u64 {
        sizes[segment_of(byte << 24) as usize] += 1;
    }
    assert!(sizes.iter().all(|size| (5..=13).contains(size)), "{sizes:?}");
    assert!(sizes[SEGMENTS as usize - 1] > sizes[0]);
}

#[derive(Clone, Debug)]
enum Step {
    Apply(u8, i128),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let edges = [i64::MIN.into(), i64::MAX.into(), i128::from(i64::MAX) + 1];
    let amount = prop_oneof![3 => -9..=9_i128, 2 => prop::sample::select(edges.to_vec())];
    prop_oneof![
        5 => (0..40_u8, amount).prop_map(|(name, amount)| Step::Apply(name, amount)),
        1 => (0..40_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn a_walk_visits_every_counter_that_exists_throughout_whatever_is_removed(
        names in prop::collection::btree_set(0..200_u8, 0..120),
        removed in prop::collection::vec((0..200_u8, 0..9_usize), 0..60),
        most in 1..9_usize,
    ) {
        let mut table = Table::default();
        names.iter().for_each(|name| table.apply(key(name), Delta::from(1)));
        let (mut seen, mut next, mut removals) = (BTreeSet::new(), Some(TablePosition::default()), removed.iter());
        while let Some(from) = next {
            let (page, following) = table.page(from, most, &[]);
            prop_assert!(page.len() <= most);
            seen.extend(page.into_iter().map(|(name, _)| name));
            for (name, new) in removals.by_ref().take(2) {
                table.remove(key(name));
                table.apply(key(&(200 + u8::try_from(*new).unwrap())), Delta::from(1));
            }
            // A position survives as a number, and only the beginning is 0.
            let bits = following.map(TablePosition::to_bits);
            prop_assert_ne!(bits, Some(0));
            next = bits.map(TablePosition::from_bits);
            prop_assert_eq!(next, following);
        }
        let expected: BTreeSet<_> = table.iter().map(|(key, _)| CounterName::from(key)).collect();
        let stays = |name: &&CounterName| name.as_bytes()[0] < 200;
        prop_assert!(expected.iter().filter(stays).all(|name| seen.contains(name)));
    }

    #[test]
    fn carried_sums_depend_neither_on_the_order_nor_on_what_is_folded(
        amounts in prop::collection::vec((0..3_u8, prop_oneof![-9..=9_i64, Just(i64::MIN), Just(i64::MAX)]), 0..60),
        folds in prop::collection::vec(1..5_usize, 60),
        seed: u64,
    ) {
        let mut sums = BTreeMap::<u8, (i128, u64)>::new();
        for &(name, amount) in &amounts {
            let (sum, operations) = sums.entry(name).or_default();
            (*sum, *operations) = (*sum + i128::from(amount), *operations + 1);
        }
        let mut shuffled = amounts.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let mut table = Table::new(OverflowPolicy::Carry);
        let mut rest = &shuffled[..];
        for fold in folds {
            let (folded, behind) = rest.split_at(fold.min(rest.len()));
            rest = behind;
            let mut deltas = BTreeMap::<u8, Delta>::new();
            for &(name, amount) in folded {
                let delta = deltas.entry(name).or_default();
                delta.value += i128::from(amount);
                delta.operations += 1;
            }
            deltas.into_iter().for_each(|(name, delta)| table.apply(key(&name), delta));
        }
        prop_assert_eq!(table.total_value(), sums.values().map(|(sum, _)| sum).sum::<i128>());

        let (fits, beyond): (Vec<_>, Vec<_>) =
            sums.into_iter().partition(|(_, (sum, _))| i64::try_from(*sum).is_ok());
        let mut top = table.top(9);
        prop_assert!(top.iter().all(|(name, _)| fits.iter().any(|(fitting, _)| *name == key(fitting).into())));
        let mut overflowed = table.take_overflowed();
        overflowed.sort_unstable();
        let expected = beyond.iter().map(|(name, (sum, _))| (CounterName::from(key(name)), *sum));
        prop_assert_eq!(overflowed, expected.collect::<Vec<_>>());
        top.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let expected = fits.iter().map(|&(name, (sum, operations))| {
            (CounterName::from(key(&name)), Count { value: i64::try_from(sum).unwrap(), operations })
        });
        prop_assert_eq!(top, expected.collect::<Vec<_>>());
        prop_assert_eq!(table.total_value(), fits.iter().map(|(_, (sum, _))| sum).sum::<i128>());
        let rejected = beyond.iter().map(|(_, (_, operations))| u128::from(*operations)).sum::<u128>();
        prop_assert_eq!(table.rejected_operations(), rejected);
    }

    #[test]
    fn it_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 0..200), n in 0..10_usize) {
        let (mut table, mut model, mut refused) = (Table::default(), BTreeMap::<u8, Count>::new(), 0);
        for step in &steps {
            match *step {
                Step::Apply(name, amount) => {
                    let delta = Delta::from(amount);
                    table.apply(key(&name), delta);
                    let mut count = model.get(&name).copied().unwrap_or_default();
                    match count.apply(delta) {
                        Ok(()) => _ = model.insert(name, count),
                        Err(_refused) => refused += 1,
                    }
                }
                Step::Remove(name) => {
                    prop_assert_eq!(table.remove(key(&name)), model.remove(&name));
                }
            }
        }
        prop_assert_eq!(table.len(), model.len());
        prop_assert_eq!(table.total_value(), model.values().map(|count| i128::from(count.value)).sum::<i128>());
        prop_assert_eq!(
            table.total_operations(),
            model.values().map(|count| u128::from(count.operations)).sum::<u128>()
        );
        prop_assert_eq!(table.rejected_operations(), refused);
        let mut expected: Vec<_> = model.iter().map(|(name, count)| (CounterName::from(key(name)), *count)).collect();
        let (mut paged, next) = table.page(TablePosition::default(), usize::MAX, &[]);
        prop_assert_eq!(next, None);
        paged.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(&paged, &expected);
        expected.sort_by_key(|(_, count)| Reverse(count.value));
        expected.truncate(n);
        prop_assert_eq!(table.top(n), expected);
    }
}
