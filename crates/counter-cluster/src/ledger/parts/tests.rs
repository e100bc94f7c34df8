use std::collections::BTreeSet;

use counter_protocol::CounterName;
use proptest::prelude::*;

use super::*;
use crate::ledger::Source;
use crate::replica::ReplicaId;

const KEY: [u64; 2] = [1, 2];

fn id() -> ReplicaId {
    ReplicaId { node: "n".parse().unwrap(), incarnation: 7 }
}

fn ledger(entries: impl IntoIterator<Item = (CounterName, Count)>) -> Ledger {
    let mut ledger = Ledger::new(KEY);
    let column = ledger.add_column(&id(), Source::Direct).unwrap();
    for (name, count) in entries {
        ledger.merge(column, &name, count, Source::Direct);
    }
    ledger
}

/// Compares until nothing is left to divide, and returns the names that were found.
fn compared(ours: &mut Ledger, theirs: &Ledger, scope: Scope) -> BTreeSet<CounterName> {
    let (column, their_column) = (ours.column(&id()).unwrap(), theirs.column(&id()).unwrap());
    let mut found = BTreeSet::new();
    let mut paths =
        ours.compare_buckets(column, &theirs.digests(&id()), scope, |place| _ = found.insert(place));
    for level in 0.. {
        if paths.is_empty() {
            break;
        }
        let parts = Parts { salt: 99 + u64::from(level), level, paths };
        let digests = theirs.part_digests(their_column, &parts);
        paths = ours.compare_parts(column, &parts, &digests, scope, |place| _ = found.insert(place));
    }
    found.into_iter().map(|place| ours.entry(place).0.into()).collect()
}

/// A position, a name, and its counts in two ledgers.
type Row = (u32, CounterName, Count, Count);

/// Names that are sent if the rows of one part are compared not by digests, but as they are.
fn expected(rows: &[Row], bits: u32) -> BTreeSet<CounterName> {
    let ours = rows.iter().filter(|(_, _, ours, _)| ours.operations > 0);
    let (is_equal, are_theirs_empty) = (
        rows.iter().all(|(_, _, ours, theirs)| ours == theirs),
        rows.iter().all(|(_, _, _, theirs)| theirs.operations == 0),
    );
    if is_equal {
        BTreeSet::new()
    } else if are_theirs_empty || ours.clone().count() <= LEAF_ENTRIES {
        ours.map(|(_, name, ..)| name.clone()).collect()
    } else {
        divided(rows, bits + FAN_OUT_BITS)
    }
}

fn divided(rows: &[Row], bits: u32) -> BTreeSet<CounterName> {
    let parts = rows.chunk_by(|a, b| a.0 >> (u32::BITS - bits) == b.0 >> (u32::BITS - bits));
    parts.flat_map(|rows| expected(rows, bits)).collect()
}

/// Names in two buckets, many of which share the first bits of their positions; with their counts in two ledgers.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let count = |operations: u64| Count { value: i64::try_from(operations).unwrap(), operations };
    let both = prop_oneof![
        8 => Just((2, 2)),
        1 => Just((2, 3)),
        1 => Just((3, 2)),
        1 => Just((2, 0)),
        1 => Just((0, 2)),
    ];
    (0..300_usize, prop::collection::vec(both, 300)).prop_map(move |(len, both)| {
        let ledger = Ledger::new(KEY);
        let names = ledger.names_in_bucket(0).take(len).chain(ledger.names_in_bucket(255).take(20));
        let row = |(name, (ours, theirs)): (CounterName, (u64, u64))| {
            (position(ledger.hash(&name)), name, count(ours), count(theirs))
        };
        let mut rows: Vec<_> = names.zip(both).map(row).collect();
        rows.sort_by_key(|(position, ..)| *position);
        rows
    })
}

proptest! {
    #[test]
    fn what_is_sent_is_the_smallest_parts_that_differ(rows in rows()) {
        let mut ours = ledger(rows.iter().map(|(_, name, ours, _)| (name.clone(), *ours)));
        let mut theirs = ledger(rows.iter().map(|(_, name, _, theirs)| (name.clone(), *theirs)));
        prop_assert_eq!(compared(&mut ours, &theirs, Scope::All), divided(&rows, BUCKET_BITS));
        let swapped: Vec<_> = rows.iter().map(|(at, name, ours, theirs)| (*at, name.clone(), *theirs, *ours)).collect();
        prop_assert_eq!(compared(&mut theirs, &ours, Scope::All), divided(&swapped, BUCKET_BITS));
    }

    #[test]
    fn two_ledgers_are_equal_once_each_has_sent_what_it_has_found(rows in rows()) {
        let mut ours = ledger(rows.iter().map(|(_, name, ours, _)| (name.clone(), *ours)));
        let mut theirs = ledger(rows.iter().map(|(_, name, _, theirs)| (name.clone(), *theirs)));
        let (found, found_there) = (compared(&mut ours, &theirs, Scope::All), compared(&mut theirs, &ours, Scope::All));
        let column = ours.column(&id()).unwrap();
        for name in found {
            theirs.merge(column, &name, ours.get(column, &name), Source::Relayed);
        }
        for name in found_there {
            ours.merge(column, &name, theirs.get(column, &name), Source::Relayed);
        }
        prop_assert_eq!(ours.digests(&id()), theirs.digests(&id()));
        for (_, name, a, b) in rows {
            prop_assert_eq!(ours.get(column, &name).operations, a.operations.max(b.operations));
        }
    }

    #[test]
    fn relayed_entries_are_confirmed_where_the_replica_has_the_same_and_found_elsewhere(rows in rows()) {
        let mut ours = ledger([]);
        let column = ours.column(&id()).unwrap();
        for (_, name, count, _) in &rows {
            ours.merge(column, name, *count, Source::Relayed);
        }
        let all = ours.relayed(column);
        let theirs = ledger(rows.iter().map(|(_, name, _, theirs)| (name.clone(), *theirs)));
        let found = compared(&mut ours, &theirs, Scope::Relayed);
        prop_assert_eq!(&found, &divided(&rows, BUCKET_BITS));
        prop_assert_eq!(ours.relayed(column), found.len() as u64);
        prop_assert!(all >= ours.relayed(column));
        // The replica corrects those that it is shown.
        for name in found {
            ours.correct(column, &name, theirs.get(column, &name));
        }
        prop_assert_eq!(ours.relayed(column), 0);
        for (_, name, a, b) in rows.iter().filter(|(_, _, ours, _)| ours.operations > 0) {
            prop_assert_eq!(ours.get(column, name), *b, "instead of {:?}", a);
        }
    }

    #[test]
    fn no_request_for_parts_does_any_harm(
        level: u8,
        mut paths in prop::collection::vec(any::<u32>(), 0..20),
        in_order: bool,
    ) {
        let names: Vec<_> = Ledger::new(KEY).names_in_bucket(0).take(50).collect();
        let ledger = ledger(names.into_iter().map(|name| (name, Count { value: 1, operations: 1 })));
        if in_order {
            paths.sort_unstable();
        }
        let asked = paths.len();
        prop_assert_eq!(ledger.part_digests(0, &Parts { salt: 1, level, paths }).len(), asked);
    }
}

#[test]
fn digests_of_the_same_entries_depend_on_the_salt() {
    let names: Vec<_> = Ledger::new(KEY).names_in_bucket(0).take(100).collect();
    let ledger = ledger(names.into_iter().map(|name| (name, Count { value: 1, operations: 1 })));
    let digests = |salt| ledger.part_digests(0, &Parts { salt, level: 0, paths: vec![0] });
    assert_eq!(digests(1), digests(1));
    for (a, b) in digests(1)[0].iter().zip(digests(2)[0]) {
        assert_ne!(*a, b);
    }
}

#[test]
fn the_smallest_parts_are_sent_whole_however_many_entries_they_have() {
    assert!(verdict(1, 2, usize::MAX, LAST_LEVEL) == Verdict::Send);
    assert!(verdict(1, 2, LEAF_ENTRIES + 1, LAST_LEVEL - 1) == Verdict::Divide);
}
