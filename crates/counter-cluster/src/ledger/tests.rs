use proptest::prelude::*;

use super::*;

/// (replica, name) to the newest count.
type Model = BTreeMap<(u8, u8), Count>;

fn id(replica: u8) -> ReplicaId {
    ReplicaId { node: format!("n{replica}").parse().unwrap(), incarnation: 7 }
}

/// As a replica would send them: what belongs to one number of operations is always the same value.
fn entry() -> impl Strategy<Value = (u8, u8, Count)> {
    (0..4_u8, 0..30_u8, 0..6_u64).prop_map(|(replica, name, operations)| {
        let value = i64::from(name) * 3 - i64::try_from(operations).unwrap() * i64::from(replica + 1);
        (replica, name, Count { value, operations })
    })
}

fn name(of: u8) -> CounterName {
    CounterName::new(&[of][..]).unwrap()
}

fn column(ledger: &mut Ledger, id: &ReplicaId) -> u32 {
    ledger.add_column(id, Source::Direct).unwrap()
}

fn ledger(entries: &[(u8, u8, Count)]) -> Ledger {
    let mut ledger = Ledger::new([1, 2]);
    for (replica, of, count) in entries {
        let column = column(&mut ledger, &id(*replica));
        ledger.merge(column, &name(*of), *count, Source::Direct);
    }
    ledger
}

fn digests(ledger: &Ledger) -> BTreeMap<ReplicaId, Digests> {
    ledger
        .replicas()
        .filter(|(_, totals)| totals.names > 0)
        .map(|(id, _)| (id.clone(), ledger.digests(id)))
        .collect()
}

proptest! {
    #[test]
    fn it_agrees_with_a_map_of_the_newest(entries in prop::collection::vec(entry(), 0..150), n in 0..10_usize) {
        let ledger = ledger(&entries);
        let mut model = Model::new();
        for (replica, name, count) in &entries {
            let newest = model.entry((*replica, *name)).or_default();
            if count.operations > newest.operations {
                *newest = *count;
            }
        }
        model.retain(|_, count| count.operations > 0);
        let mut by_name = BTreeMap::<u8, Total>::new();
        let mut by_replica = BTreeMap::<ReplicaId, Totals>::new();
        for ((replica, name), count) in &model {
            by_name.entry(*name).or_default().add(*count);
            let totals = by_replica.entry(id(*replica)).or_default();
            totals.total.add(*count);
            totals.names += 1;
        }
        for of in 0..30 {
            let mut total = Total::default();
            ledger.entries(&name(of)).for_each(|(_, count)| total.add(count));
            prop_assert_eq!(total, by_name.get(&of).copied().unwrap_or_default());
        }
        prop_assert_eq!(ledger.names(), by_name.len() as u64);
        let known = ledger.replicas().filter(|(_, totals)| totals.names > 0);
        prop_assert_eq!(known.map(|(id, totals)| (id.clone(), totals)).collect::<BTreeMap<_, _>>(), by_replica);
        let mut top: Vec<_> = by_name.into_iter().map(|(of, total)| (name(of), total)).collect();
        top.sort_by(|(a, x), (b, y)| y.value.cmp(&x.value).then_with(|| a.cmp(b)));
        top.truncate(n);
        prop_assert_eq!(ledger.top(n), top);
    }

    #[test]
    fn merging_does_not_care_about_order_or_repetition(
        (entries, shuffled) in prop::collection::vec(entry(), 0..60).prop_flat_map(|entries| {
            let twice = [entries.clone(), entries.clone()].concat();
            (Just(entries), Just(twice).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(digests(&ledger(&entries)), digests(&ledger(&shuffled)));
    }

    #[test]
    fn what_is_only_incremented_never_goes_backwards_whatever_arrives_when(
        arrivals in prop::collection::vec((0..4_u8, 0..3_u8, 1..9_u64), 0..60),
    ) {
        let (mut ledger, mut before) = (Ledger::new([1, 2]), BTreeMap::<u8, Total>::new());
        for (replica, of, operations) in arrivals {
            let column = column(&mut ledger, &id(replica));
            let value = i64::try_from(operations).unwrap() * 5;
            ledger.merge(column, &name(of), Count { value, operations }, Source::Relayed);
            let mut total = Total::default();
            ledger.entries(&name(of)).for_each(|(_, count)| total.add(count));
            let before = before.insert(of, total).unwrap_or_default();
            prop_assert!(total.value >= before.value && total.operations >= before.operations);
        }
    }

    #[test]
    fn a_ledger_whose_forged_entries_are_corrected_is_as_if_there_had_been_none(
        entries in prop::collection::vec(entry(), 0..60),
        forged in prop::collection::vec((0..4_u8, 0..30_u8, 1..9_u64), 0..20),
    ) {
        let (mut ledger, honest) = (ledger(&entries), ledger(&entries));
        for (replica, of, operations) in forged {
            let column = column(&mut ledger, &id(replica));
            ledger.merge(column, &name(of), Count { value: -1, operations }, Source::Relayed);
        }
        for replica in 0..4 {
            let Some(column) = ledger.column(&id(replica)) else { continue };
            let mut relayed = Vec::new();
            let digests = honest.digests(&id(replica));
            let divided = ledger.compare_buckets(column, &digests, Scope::Relayed, |place| relayed.push(place));
            prop_assert_eq!(divided, []);
            for place in relayed {
                let name = ledger.entry(place).0.into();
                let count = honest.column(&id(replica)).map(|column| honest.get(column, &name));
                ledger.correct(column, &name, count.unwrap_or_default());
            }
            prop_assert_eq!(ledger.relayed(column), 0);
        }
        prop_assert_eq!(ledger.names(), honest.names());
        prop_assert_eq!(ledger.top(99), honest.top(99));
        for replica in 0..4 {
            prop_assert_eq!(ledger.root(&id(replica)), honest.root(&id(replica)));
        }
    }

    #[test]
    fn digests_tell_different_entries_apart(a in prop::collection::vec(entry(), 0..20), b in prop::collection::vec(entry(), 0..20)) {
        let (a, b) = (ledger(&a), ledger(&b));
        let entries = |ledger: &Ledger| -> Vec<(u8, Vec<(ReplicaId, Count)>)> {
            let of = |of_name: u8| {
                let mut of: Vec<_> = ledger.entries(&name(of_name)).map(|(id, count)| (id.clone(), count)).collect();
                of.sort_by(|a, b| a.0.cmp(&b.0));
                (of_name, of)
            };
            (0..30).map(of).collect()
        };
        prop_assert_eq!(entries(&a) == entries(&b), digests(&a) == digests(&b));
    }
}

#[test]
fn what_a_replica_has_said_itself_is_not_corrected_to_less() {
    let mut ledger = Ledger::new([1, 2]);
    let column = column(&mut ledger, &id(1));
    ledger.merge(column, &name(1), Count { value: 5, operations: 5 }, Source::Relayed);
    // The replica says the same itself while the answer is on its way.
    ledger.merge(column, &name(1), Count { value: 5, operations: 5 }, Source::Direct);
    assert_eq!(ledger.correct(column, &name(1), Count { value: 4, operations: 4 }), None);
    assert_eq!(ledger.get(column, &name(1)), Count { value: 5, operations: 5 });
}

/// Merges one operation of each of these names.
fn merge_names(ledger: &mut Ledger, id: &ReplicaId, names: impl Iterator<Item = u32>) -> u64 {
    let column = column(ledger, id);
    let one = Count { value: 1, operations: 1 };
    let merged = names.filter_map(|of| {
        let name = CounterName::new(of.to_string()).unwrap();
        ledger.merge(column, &name, one, Source::Relayed)
    });
    merged.count() as u64
}

#[test]
fn a_replica_costs_what_it_has_counted_however_many_names_there_are() {
    let mut ledger = Ledger::new([1, 2]);
    let names = 1 << 16;
    let dense = merge_names(&mut ledger, &id(0), 0..names);
    let dense_bytes = ledger.allocated();
    assert!(dense_bytes < 24 * dense, "{dense_bytes} bytes for {dense} entries");
    let sparse: u64 =
        (1..=50).map(|replica| merge_names(&mut ledger, &id(replica), (0..names).step_by(401))).sum();
    let sparse_bytes = ledger.allocated() - dense_bytes;
    assert!(sparse_bytes < 160 * sparse, "{sparse_bytes} bytes for {sparse} entries");
}

#[test]
fn invented_replicas_are_refused_beyond_a_bound_that_keeps_room_for_those_that_are_there() {
    let mut ledger = Ledger::new([1, 2]);
    let replica = |incarnation| ReplicaId { incarnation, ..id(0) };
    let limit = (MAX_REPLICAS - RESERVED_REPLICAS) as u64;
    (0..limit).for_each(|n| assert!(ledger.add_column(&replica(n), Source::Relayed).is_some()));
    assert_eq!(ledger.add_column(&replica(limit), Source::Relayed), None);
    assert_eq!(ledger.add_column(&replica(0), Source::Relayed), Some(0));
    (limit..MAX_REPLICAS as u64)
        .for_each(|n| assert!(ledger.add_column(&replica(n), Source::Direct).is_some()));
    assert_eq!(ledger.add_column(&replica(u64::MAX), Source::Direct), None);
}
