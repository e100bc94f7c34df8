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

fn ledger(entries: &[(u8, u8, Count)]) -> Ledger {
    let mut ledger = Ledger::new([1, 2]);
    for (replica, of, count) in entries {
        let replica = ledger.number(&id(*replica));
        ledger.merge(replica, &name(*of), *count);
    }
    ledger
}

fn digests(ledger: &Ledger) -> BTreeMap<ReplicaId, Vec<Digest>> {
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
            let number = ledger.number(&id(replica));
            let value = i64::try_from(operations).unwrap() * 5;
            ledger.merge(number, &name(of), Count { value, operations });
            let mut total = Total::default();
            ledger.entries(&name(of)).for_each(|(_, count)| total.add(count));
            let before = before.insert(of, total).unwrap_or_default();
            prop_assert!(total.value >= before.value && total.operations >= before.operations);
        }
    }

    #[test]
    fn sending_what_differs_makes_two_ledgers_equal(
        ours in prop::collection::vec(entry(), 0..60), theirs in prop::collection::vec(entry(), 0..60),
    ) {
        let (ours, mut theirs) = (ledger(&ours), ledger(&theirs));
        let all = |ledger: &Ledger| ledger.replicas().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        for id in all(&ours) {
            let places: Vec<_> = ours.differing(&id, &theirs.digests(&id)).collect();
            for place in places {
                let (key, count) = ours.entry(place);
                let number = theirs.number(&id);
                theirs.merge(number, &key.into(), count);
            }
        }
        // What was ours only is theirs now; nothing is left to send.
        for id in all(&ours) {
            for place in ours.differing(&id, &theirs.digests(&id)) {
                let (key, count) = ours.entry(place);
                let known = theirs.entries(&key.into()).find(|(of, _)| **of == id).map(|(_, count)| count);
                prop_assert!(known.is_some_and(|known| known.operations >= count.operations));
            }
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
