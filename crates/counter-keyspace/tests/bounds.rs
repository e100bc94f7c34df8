//! Bounded pages and a bounded number of names.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use counter_keyspace::{Keyspace, KeyspaceOptions, Operation, Outcome, PageToken};
use counter_protocol::Count;

#[tokio::test(start_paused = true)]
async fn a_scan_goes_on_in_small_pages_from_cursors_that_are_numbers() {
    let options = KeyspaceOptions { shards: NonZeroUsize::new(3).unwrap(), ..KeyspaceOptions::default() };
    let keyspace = Keyspace::start(options).await.unwrap();
    let handle = keyspace.handle();
    for n in 0..500 {
        handle.increment(format!("{n}"), 1).await.unwrap();
    }
    let (mut seen, mut cursor) = (BTreeSet::new(), 0);
    loop {
        let (counters, next) = handle.scan_up_to(PageToken::from_cursor(cursor), 7).await.unwrap();
        assert!(counters.len() <= 7);
        seen.extend(counters.into_iter().map(|(name, _)| name));
        match next.map(PageToken::to_cursor) {
            None => break,
            Some(next) => cursor = next,
        }
        assert_ne!(cursor, 0);
    }
    assert_eq!(seen.len(), 500);
    for invented in [1, u64::MAX, 1 << 39, 1 << 40, 2 << 40 | 31 << 32] {
        handle.scan_up_to(PageToken::from_cursor(invented), 7).await.unwrap();
    }
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_names_only_what_exists_is_counted() {
    let options = KeyspaceOptions {
        shards: NonZeroUsize::MIN,
        max_names: NonZeroUsize::new(2),
        ..KeyspaceOptions::default()
    };
    let keyspace = Keyspace::start(options).await.unwrap();
    let handle = keyspace.handle();
    let operations = [
        ("a", Operation::Add(1)),
        ("b", Operation::Set(5)),
        ("c", Operation::Add(1)),
        ("a", Operation::Add(1)),
        ("c", Operation::Get),
        ("b", Operation::RemoveAndGet),
        ("c", Operation::Set(7)),
    ];
    let outcomes = handle.apply(operations).await.unwrap().outcomes;
    let removed = Outcome::Removed(Some(Count { value: 5, operations: 1 }));
    let value = |value| Outcome::Value(Some(value));
    let expected = [value(1), value(5), Outcome::Full, value(2), Outcome::Value(None), removed, value(7)];
    assert_eq!(outcomes, expected);
    handle.increment("d", 1).await.unwrap();
    handle.increment("a", 1).await.unwrap();
    let stats = handle.stats().await.unwrap();
    assert_eq!((stats.num_counters, stats.total_value, stats.rejected_operations), (2, 10, 2));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_by_prefix_has_only_names_that_begin_with_it() {
    let keyspace = Keyspace::start(KeyspaceOptions::default()).await.unwrap();
    let handle = keyspace.handle();
    for n in 0..20_000 {
        handle.increment(format!("{n}"), 1).await.unwrap();
    }
    let (mut seen, mut next) = (BTreeSet::new(), Some(PageToken::default()));
    while let Some(token) = next {
        let (counters, following) = handle.scan_prefix(token, 3, b"1999").await.unwrap();
        assert!(counters.len() <= 3);
        seen.extend(counters.into_iter().map(|(name, _)| name.to_string()));
        next = following;
    }
    let expected = (19_990..20_000).chain([1_999]).map(|n| n.to_string());
    assert_eq!(seen, expected.collect());
    keyspace.shutdown().await;
}
