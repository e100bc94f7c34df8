use std::convert::Infallible;

use counter_keyspace::Outcome;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::replicas::StoreId;

type Owned = (Vec<u8>, i64, u64, Option<u64>);

fn entries() -> impl Strategy<Value = Vec<Owned>> {
    vec((vec(any::<u8>(), 0..30), any::<i64>(), any::<u64>(), any::<Option<u64>>()), 0..50)
}

fn page_of(entries: &[Owned]) -> EntryPage {
    let mut page = EntryPage::default();
    for (name, value, operations, deadline_ms) in entries {
        let count = Count { value: *value, operations: *operations };
        page.push(Entry { name, count, deadline_ms: *deadline_ms });
    }
    page
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let outcome = prop_oneof![
        any::<Option<i64>>().prop_map(Outcome::Value),
        any::<i64>().prop_map(Outcome::OutOfRange),
        any::<Option<(i64, u64)>>().prop_map(|count| {
            Outcome::Removed(count.map(|(value, operations)| Count { value, operations }))
        }),
        any::<Option<u64>>().prop_map(Outcome::Deadline),
        any::<Option<u64>>().prop_map(Outcome::Ttl),
        Just(Outcome::Applied),
        (any::<i64>(), any::<i64>()).prop_map(|(value, amount)| Outcome::Added { value, amount }),
        Just(Outcome::Full),
        any::<Option<(i64, u64)>>().prop_map(|count| {
            Outcome::Count(count.map(|(value, operations)| Count { value, operations }))
        }),
    ];
    vec(outcome, 0..5)
}

fn end() -> impl Strategy<Value = RoundEnd> {
    let sessions = vec((any::<[u64; 2]>(), any::<[u64; 2]>(), any::<u32>(), outcomes()), 0..5);
    let totals = (any::<[u64; 3]>(), any::<i128>(), any::<[u128; 2]>());
    (vec(vec(any::<u8>(), 0..9), 0..9), sessions, totals, any::<[u64; 3]>()).prop_map(
        |(removed, sessions, (counts, value, operations), [clock_ms, incarnation, number])| RoundEnd {
            removed: removed.into_iter().map(Into::into).collect(),
            sessions: sessions
                .into_iter()
                .map(|(id, [sequence, fingerprint], done, outcomes)| {
                    let id = SessionId { incarnation: id[0], number: id[1] };
                    (id, SessionRecord { sequence, fingerprint, done, outcomes })
                })
                .collect(),
            session_floor: SessionId { incarnation, number },
            totals: ShardTotals {
                names: counts[0],
                sessions: counts[1],
                deadlines: counts[2],
                value,
                operations: operations[0],
                rejected_operations: operations[1],
            },
            version: 0,
            clock_ms,
        },
    )
}

/// Reads back what was written for one shard.
fn read(payloads: &[Vec<u8>], shard: usize) -> (RoundPage, Option<ShardEnd>) {
    let (mut page, mut removed, mut sessions, mut end) = (RoundPage::default(), Vec::new(), Vec::new(), None);
    for record in payloads.iter().flat_map(|payload| split(payload)) {
        let (of, record) = record.unwrap();
        assert_eq!(of, shard);
        match parse(record).unwrap() {
            Record::Reset => page.reset = true,
            Record::Entries(list) => list.entries().for_each(|entry| page.changed.push(entry.unwrap())),
            Record::Removed(list) => removed.extend(list.names().map(|name| Box::from(name.unwrap()))),
            Record::Sessions(list) => sessions.extend(list.sessions().map(Result::unwrap)),
            Record::End(read) => end = Some(read),
            Record::Floor(_)
            | Record::Opened(_)
            | Record::Member(_)
            | Record::Column(..)
            | Record::ColumnEnd(..) => panic!("none was written"),
        }
    }
    page.end = end.map(|_| RoundEnd { removed, sessions, ..RoundEnd::default() });
    (page, end)
}

fn write(shard: usize, page: &RoundPage) -> Vec<Vec<u8>> {
    let (mut payload, mut payloads) = (Payload::default(), Vec::new());
    let mut full = |bytes: &[u8]| {
        payloads.push(bytes.to_vec());
        Ok::<_, Infallible>(())
    };
    payload.page(shard, page, &mut full).unwrap();
    payloads.push(payload.bytes().to_vec());
    payloads
}

proptest! {
    #[test]
    fn a_page_survives(shard in 0_usize..1000, reset: bool, entries in entries(), end in proptest::option::of(end())) {
        let page = RoundPage { reset, changed: page_of(&entries), end, ..RoundPage::default() };
        let (read, read_end) = read(&write(shard, &page), shard);
        prop_assert_eq!((read.reset, &read.changed), (page.reset, &page.changed));
        prop_assert_eq!(read_end, page.end.as_ref().map(ShardEnd::from));
        let lists = |page: RoundPage| page.end.map(|end| (end.removed, end.sessions));
        prop_assert_eq!(lists(read), lists(page));
    }

    #[test]
    fn any_bytes_are_records_or_malformed(bytes: Vec<u8>) {
        for (_, record) in split(&bytes).flatten() {
            match parse(record) {
                Ok(Record::Entries(list)) => list.entries().for_each(|entry| _ = entry),
                Ok(Record::Sessions(list)) => list.sessions().for_each(|record| _ = record),
                _ => {}
            }
        }
    }
}

#[test]
fn payloads_are_bounded_however_long_the_names() {
    let name = vec![b'x'; 65_536];
    let entries: Vec<_> = (0..20_i64).map(|n| (name.clone(), n, n.unsigned_abs(), None)).collect();
    let page = RoundPage { changed: page_of(&entries), ..RoundPage::default() };
    let payloads = write(1, &page);
    assert!(payloads.len() > 1);
    assert!(payloads.iter().all(|payload| payload.len() <= crate::frame::MAX_PAYLOAD_BYTES));
    assert_eq!(read(&payloads, 1).0.changed, page.changed);
}

#[test]
fn a_counter_that_counts_by_one_takes_two_bytes_beside_its_name() {
    let mut bytes = Vec::new();
    put_entry(
        &mut bytes,
        Entry { name: b"hits", count: Count { value: 100, operations: 100 }, deadline_ms: None },
    );
    assert_eq!(bytes.len(), 6);
}

#[test]
fn what_concerns_replicas_survives_and_is_told_from_what_concerns_shards() {
    let replica = |n: u64| ReplicaKey { node: "nö".into(), incarnation: u64::MAX - n };
    let member = Member { store: StoreId([7; 16]), node: "b".into(), is_mutual: true };
    let totals = ColumnTotals { names: 300, value: i128::MIN, operations: u128::MAX };
    let mut page = EntryPage::default();
    for n in 0..100 {
        let count = Count { value: n, operations: u64::from(n % 3 > 0) };
        page.push(Entry { name: b"some name", count, deadline_ms: None });
    }
    let (mut payload, mut payloads) = (Payload::default(), Vec::new());
    let mut full = |bytes: &[u8]| {
        payloads.push(bytes.to_vec());
        Ok::<_, Infallible>(())
    };
    payload.opened(&Opened { own: replica(0), sealed: None });
    payload.opened(&Opened { own: replica(1), sealed: Some(replica(0)) });
    payload.member(&member);
    payload.column(&replica(0), &page, &mut full).unwrap();
    payload.column_end(&replica(0), totals, &mut full).unwrap();
    payloads.push(payload.bytes().to_vec());
    let (mut entries, mut opened, mut seen) = (EntryPage::default(), Vec::new(), 0);
    for (_, record) in payloads.iter().flat_map(|payload| split(payload)).map(Result::unwrap) {
        let is_opened = scope(record) == Scope::ShardsAndColumns;
        assert!(is_opened || scope(record) == Scope::Columns);
        match parse(record).unwrap() {
            Record::Opened(record) => opened.push((record.own, record.sealed)),
            Record::Column(of, list) => {
                assert_eq!(of, replica(0));
                entries.extend(list.entries().map(Result::unwrap));
            }
            Record::Member(found) => seen += u32::from(found == member),
            Record::ColumnEnd(of, found) => seen += u32::from((of, found) == (replica(0), totals)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(opened, [(replica(0), None), (replica(1), Some(replica(0)))]);
    assert_eq!((seen, entries, payloads.len() > 1), (2, page, true));
}
