use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::calls::Operations;
use crate::key::with_hash;
use crate::operation::Operation;
use crate::round::Outcome;

fn bounded(names: usize) -> Deltas {
    Deltas::bounded(NonZeroUsize::new(names).unwrap(), usize::MAX)
}

fn one(name: &[u8], amount: i128) -> Change<'_> {
    Change::One(with_hash(name[0].into(), name), amount)
}

fn drain(deltas: &mut Deltas, into: &mut BTreeMap<Vec<u8>, Delta>, most: usize) {
    for _ in 0..most {
        deltas.pop(|key, delta| {
            let sum = into.entry(key.name.to_vec()).or_default();
            *sum = Delta { value: sum.value + delta.value, operations: sum.operations + delta.operations };
        });
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_also_after_a_crash_in_between(
        first in prop::collection::vec((0..6_u8, -9..9_i128), 0..40),
        second in prop::collection::vec((0..6_u8, -9..9_i128), 0..40),
        applied_before_the_crash in 0..8_usize,
    ) {
        let (mut expected, mut came_out) = (BTreeMap::new(), BTreeMap::new());
        let mut deltas = bounded(6);
        for (name, amount) in &first {
            deltas.push(one(&[*name], *amount)).unwrap();
        }
        let empty = deltas.empty();
        let mut taken = mem::replace(&mut deltas, empty);
        drain(&mut taken, &mut came_out, applied_before_the_crash);
        for (name, amount) in &second {
            deltas.push(one(&[*name], *amount)).unwrap();
        }
        deltas.put_back(taken);
        drain(&mut deltas, &mut came_out, 12);
        for (name, amount) in first.iter().chain(&second) {
            let sum: &mut Delta = expected.entry(vec![*name]).or_default();
            *sum = Delta { value: sum.value + amount, operations: sum.operations + 1 };
        }
        prop_assert_eq!(came_out, expected);
        prop_assert!(deltas.is_empty());
    }
}

#[test]
fn the_bound_is_on_names_and_not_on_operations() {
    let mut deltas = bounded(2);
    for name in [b"a", b"b", b"a", b"b"] {
        deltas.push(one(name, 1)).unwrap();
    }
    assert!(matches!(deltas.push(one(b"c", 1)), Err(Change::One(Key { name: b"c", .. }, 1))));
    assert_eq!((deltas.names(), deltas.len()), (2, 4));
}

#[test]
fn the_bound_is_on_the_bytes_of_names_too_and_one_name_always_fits() {
    let mut deltas = Deltas::bounded(NonZeroUsize::MAX, 40);
    let (long, longer) = ([b'a'; 30], [b'b'; 50]);
    for name in [&long[..], b"cccccccccc", &long] {
        deltas.push(one(name, 1)).unwrap();
    }
    assert!(matches!(deltas.push(one(b"d", 1)), Err(Change::One(Key { name: b"d", .. }, 1))));
    assert!(deltas.pop(|key, _| assert_eq!(key.name, b"cccccccccc")));
    let empty = deltas.empty();
    let taken = mem::replace(&mut deltas, empty);
    deltas.push(one(&longer, 1)).unwrap();
    assert!(deltas.push(one(b"d", 1)).is_err());
    deltas.put_back(taken);
    assert_eq!((deltas.names(), deltas.len()), (2, 3), "this may go beyond the bound");
    let mut many = bounded(9);
    many.push(one(&longer, 1)).unwrap();
    let Err(many) = deltas.push(Change::Many(many)) else { panic!("they do not fit") };
    assert!(deltas.empty().push(many).is_ok());
}

#[test]
fn many_at_once_go_in_whole_or_not_at_all() {
    let many = || {
        let mut many = bounded(9);
        for name in [b"a", b"b", b"c"] {
            many.push(one(name, 1)).unwrap();
        }
        Change::Many(many)
    };
    let mut deltas = bounded(2);
    deltas.push(many()).unwrap();
    assert!(matches!(deltas.push(many()), Err(Change::Many(_))));
    let mut wide = bounded(6);
    wide.push(one(b"a", 1)).unwrap();
    wide.push(many()).unwrap();
    assert_eq!((wide.names(), wide.len()), (3, 4));
}

/// Creates a call of operations on one name.
fn call(name: &[u8], operations: usize) -> Change<'_> {
    let mut named = Operations::default();
    (0..operations).for_each(|_| named.push(with_hash(name[0].into(), name), Operation::Add(1)));
    Change::Call(Call::new(named, None, oneshot::channel().0))
}

/// Takes up to `most` steps, and records each in order.
fn steps(deltas: &mut Deltas, most: usize, done: &mut Vec<(u8, i128)>) {
    for _ in 0..most {
        if deltas.pop(|key, delta| done.push((key.name[0], delta.value))) {
            continue;
        }
        let Some(call) = deltas.first_call() else { return };
        let record = |key: Key<'_>, _| {
            done.push((key.name[0], 0));
            Outcome::Applied
        };
        call.apply_next(record);
        if call.left() == 0 {
            deltas.pop_call();
        }
    }
}

proptest! {
    #[test]
    fn calls_keep_their_place_among_what_is_folded_also_after_crashes(
        parts in prop::collection::vec((prop::collection::vec((0..3_u8, 0..4_usize), 0..8), 0..6_usize), 0..6),
    ) {
        let (mut deltas, mut done, mut expected) = (bounded(1), Vec::new(), Vec::new());
        deltas.bound.names = NonZeroUsize::MAX;
        for (items, before_the_crash) in &parts {
            let empty = deltas.empty();
            let mut taken = mem::replace(&mut deltas, empty);
            for (name, operations) in items {
                // Each call has a name of its own, and so do the operations behind it.
                let name = name + 3 * u8::try_from(expected.len()).unwrap();
                if *operations > 0 {
                    deltas.push(call(&[name], *operations)).unwrap();
                } else {
                    deltas.push(one(&[name], 1)).unwrap();
                }
                expected.push((name, *operations));
            }
            steps(&mut taken, *before_the_crash, &mut done);
            deltas.put_back(taken);
            let left: usize = deltas.calls.iter().map(|stage| stage.size.names).sum();
            prop_assert_eq!(deltas.size_before.names, left);
        }
        let operations: usize = expected.iter().map(|(_, operations)| (*operations).max(1)).sum();
        prop_assert_eq!(deltas.len(), (operations - done.len()) as u64);
        steps(&mut deltas, usize::MAX, &mut done);
        prop_assert_eq!((deltas.len(), deltas.names(), deltas.size_before.name_bytes), (0, 0, 0));

        // Folded operations may change places with one another, but not with calls.
        let sort = |done: &[(u8, i128)]| {
            let mut runs: Vec<_> = done.chunk_by(|a, b| a.1 > 0 && b.1 > 0).map(<[_]>::to_vec).collect();
            runs.iter_mut().for_each(|run| run.sort_unstable());
            runs.concat()
        };
        let all = expected.iter().flat_map(|&(name, operations)| match operations {
            0 => vec![(name, 1)],
            _ => vec![(name, 0); operations],
        });
        prop_assert_eq!(sort(&done), sort(&all.collect::<Vec<_>>()));
    }
}

#[test]
fn operations_of_calls_count_towards_the_bound() {
    let mut deltas = bounded(3);
    deltas.push(one(b"a", 1)).unwrap();
    assert!(matches!(deltas.push(call(b"b", 3)), Err(Change::Call(_))));
    deltas.push(call(b"b", 2)).unwrap();
    assert!(matches!(deltas.push(one(b"a", 1)), Err(Change::One(..))));
    assert!(bounded(1).push(call(b"a", 5)).is_ok(), "an empty one takes a call of any size");
}
