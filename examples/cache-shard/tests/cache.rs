//! The cache as its clients see it.

use std::num::NonZeroUsize;
use std::time::Duration;

use cache_shard::{Cache, INSERTIONS_WAITING, Key, Stats, Value};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use ractor_outbox::CallError;
use ractor_supervision::{ChildEvent, SupervisorHandle};

const MINUTE: Duration = Duration::from_secs(60);

async fn start(shards: usize, entries: usize) -> (Cache, SupervisorHandle) {
    let [shards, entries] = [shards, entries].map(|n| NonZeroUsize::new(n).expect("it is not zero"));
    Cache::start(shards, entries).await.expect("it starts")
}

fn entry(n: usize) -> (Key, Value) {
    (n.to_string().into(), n.to_le_bytes().into())
}

async fn total(cache: &Cache) -> Stats {
    cache.stats().await.expect("it runs").into_iter().sum()
}

#[tokio::test]
async fn a_client_finds_what_it_has_put_in_and_no_longer_what_it_has_taken_out() {
    let (cache, supervisor) = start(3, 1_000).await;
    for (key, value) in (0..1_000).map(entry) {
        cache.insert(&key, value, MINUTE).await.unwrap();
    }
    for (key, value) in (0..1_000).map(entry) {
        assert_eq!(cache.get(&key).await, Ok(Some(value.clone())));
        assert_eq!(cache.remove(&key).await, Ok(Some(value)));
        assert_eq!(cache.get(&key).await, Ok(None));
    }
    assert_eq!(total(&cache).await, Stats { hits: 1_000, misses: 1_000, ..Stats::default() });
    supervisor.shutdown().await;
}

#[tokio::test]
async fn each_shard_has_keys_of_its_own() {
    let (cache, supervisor) = start(4, 1_000).await;
    for (key, value) in (0..1_000).map(entry) {
        cache.insert(&key, value, MINUTE).await.unwrap();
    }
    let shards = cache.stats().await.unwrap();
    assert_eq!(shards.iter().map(|shard| shard.entries).sum::<usize>(), 1_000);
    assert!(shards.iter().all(|shard| (200..300).contains(&shard.entries)), "{shards:?}");
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_lives_for_as_long_as_it_was_put_in_for() {
    let (cache, supervisor) = start(1, 10).await;
    let ((short, value), (long, _)) = (entry(1), entry(2));
    cache.insert(&short, value.clone(), MINUTE).await.unwrap();
    cache.insert(&long, value.clone(), 2 * MINUTE).await.unwrap();
    tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
    assert_eq!(cache.get(&short).await, Ok(Some(value.clone())));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(cache.get(&short).await, Ok(None));
    assert_eq!(cache.get(&long).await, Ok(Some(value)));
    assert_eq!(total(&cache).await, Stats { hits: 2, misses: 1, expired: 1, entries: 1, ..Stats::default() });
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_client_waits_for_room_when_its_shard_is_behind() {
    let (cache, supervisor) = start(1, 1_000).await;
    // On one thread the shard does not run before the test waits.
    let (before, ((late, value), (key, _))) = (INSERTIONS_WAITING.get(), (entry(0), entry(1)));
    for _ in 0..before {
        assert_eq!(cache.insert(&key, value.clone(), MINUTE).now_or_never(), Some(Ok(())));
    }
    assert_eq!(cache.insert(&late, value.clone(), MINUTE).now_or_never(), None);
    assert_eq!(cache.get(&late).await, Ok(None));
    assert_eq!(cache.insert(&late, value.clone(), MINUTE).now_or_never(), Some(Ok(())));
    assert_eq!(cache.get(&late).await, Ok(Some(value)));
    supervisor.shutdown().await;
}

/// Inserts keys of its own, looks each up, and in the end all of them again.
async fn use_it(cache: Cache, keys: std::ops::Range<usize>) {
    for (key, value) in keys.clone().map(entry) {
        assert_eq!(cache.insert(&key, value.clone(), MINUTE).await, Ok(()));
        assert_eq!(cache.get(&key).await, Ok(Some(value)));
    }
    for (key, value) in keys.map(entry) {
        assert_eq!(cache.get(&key).await, Ok(Some(value)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_under_load_lose_no_entry_and_count_no_lookup_twice() {
    // As many crashes as a supervisor tolerates.
    const SHARDS: usize = 10;
    const CLIENTS: usize = 3;
    const EACH: usize = 1_000;
    let (cache, supervisor) = start(SHARDS, CLIENTS * EACH).await;
    let mut events = supervisor.subscribe();
    let keys = (0..CLIENTS).map(|n| n * EACH..(n + 1) * EACH);
    let clients: Vec<_> = keys.map(|keys| tokio::spawn(use_it(cache.clone(), keys))).collect();
    for shard in supervisor.actor().get_children() {
        shard.kill();
        while !matches!(events.recv().await.unwrap().kind, ChildEvent::Restarted { .. }) {}
    }
    try_join_all(clients).await.unwrap();
    let lookups = 2 * (CLIENTS * EACH) as u64;
    let expected = Stats { hits: lookups, entries: CLIENTS * EACH, ..Stats::default() };
    assert_eq!(total(&cache).await, expected);
    assert!(supervisor.children().await.unwrap().iter().all(|shard| shard.restarts == 1));
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_shard_is_told_that_nobody_restarts_it() {
    let (cache, supervisor) = start(1, 10).await;
    let (key, value) = entry(1);
    let shard = supervisor.actor().get_children().remove(0);
    supervisor.actor().kill();
    shard.kill();
    assert_eq!(tokio::time::timeout(MINUTE, cache.get(&key)).await, Ok(Err(CallError::Closed)));
    assert_eq!(cache.insert(&key, value, MINUTE).await, Err(CallError::Closed));
}
