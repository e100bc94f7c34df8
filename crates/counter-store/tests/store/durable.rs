//! Opened, counted in, killed and opened again.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use counter_keyspace::{Keyspace, KeyspaceOptions, Operation, Outcome, SessionError};
use counter_store::disk::{Disk, Fault, MemoryDisk};
use counter_store::{Durability, DurabilityError, OnDiskFailure, OpenError, Store, StoreOptions};
use tempfile::TempDir;

/// Interval at which rounds begin that nobody waits for, so long that none does in a test.
const NEVER: Duration = Duration::from_secs(3600);

fn options() -> StoreOptions {
    let keyspace = KeyspaceOptions { shards: NonZeroUsize::new(3).unwrap(), ..KeyspaceOptions::default() };
    StoreOptions { keyspace, round_interval: NEVER, segment_bytes: 1 << 16, ..StoreOptions::default() }
}

async fn open(disk: &MemoryDisk, options: StoreOptions) -> Result<(Store, Keyspace), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Store::open_on(disk, options, |_| {}).await
}

async fn close(store: Store, keyspace: Keyspace) {
    store.shutdown().await.unwrap();
    keyspace.shutdown().await;
}

/// Drops a store, waits until its thread has ended, and restarts the disk, which has failed or fails now.
async fn crash(store: Store, keyspace: Keyspace, disk: &MemoryDisk) {
    let mut committed = store.committed();
    drop(store);
    committed.wait_for(|committed| committed.is_stopped).await.unwrap();
    keyspace.shutdown().await;
    disk.restart();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_power_failure() {
    for seed in 0..10 {
        let disk = MemoryDisk::new(seed);
        let (store, keyspace) = open(&disk, options()).await.unwrap();
        let handle = store.handle();
        for n in 0..100_u32 {
            handle.increment_at(n.to_le_bytes(), n.into(), Durability::Memory).await.unwrap();
        }
        handle.remove(3_u32.to_le_bytes()).await.unwrap();
        handle.flush().await.unwrap();
        handle.increment("hits", 5).await.unwrap();
        disk.fail_at(disk.operations(), Fault::Crash);
        crash(store, keyspace, &disk).await;
        let (store, keyspace) = open(&disk, options()).await.unwrap();
        let handle = store.handle();
        assert_eq!(handle.value_at("hits", Durability::Memory).await.unwrap(), Some(5));
        let stats = handle.keyspace().stats().await.unwrap();
        assert_eq!((stats.num_counters, stats.total_value), (100, 5 + (0..100).sum::<i128>() - 3));
        close(store, keyspace).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_keeps_everything_that_was_sent_before() {
    let outer = TempDir::new().unwrap();
    let dir = outer.path().join("counts");
    for life in 1..=3 {
        let (store, keyspace) = Store::open(&dir, options()).await.unwrap();
        let other = keyspace.handle();
        other.increment("hits", 1).await.unwrap();
        close(store, keyspace).await;
        let (store, keyspace) = Store::open(&dir, options()).await.unwrap();
        assert_eq!(store.handle().keyspace().value("hits").await.unwrap(), Some(life));
        assert!(matches!(Store::open(&dir, options()).await.unwrap_err(), OpenError::Locked));
        close(store, keyspace).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_together_share_rounds() {
    let disk = MemoryDisk::new(0);
    let (store, keyspace) = open(&disk, options()).await.unwrap();
    let callers = (0..50).map(|_| {
        let handle = store.handle();
        tokio::spawn(async move {
            for _ in 0..20 {
                handle.increment("hits", 1).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!(store.handle().value_at("hits", Durability::Fsync).await.unwrap(), Some(1000));
    let rounds = store.committed().borrow().rounds;
    assert!(rounds < 1000, "{rounds} rounds");
    close(store, keyspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_is_an_unknown_outcome_and_later_all_is_durable() {
    for on_disk_failure in [OnDiskFailure::Continue, OnDiskFailure::Stop] {
        let disk = MemoryDisk::new(0);
        let (store, keyspace) = open(&disk, StoreOptions { on_disk_failure, ..options() }).await.unwrap();
        let handle = store.handle();
        handle.increment("before", 1).await.unwrap();
        handle.increment("during", 1).await.unwrap();
        let error = loop {
            // The operation that fails may be one that nobody waits for.
            disk.fail_at(disk.operations(), Fault::Error);
            if let Err(error) = handle.increment("during", 1).await {
                break error;
            }
        };
        assert_eq!(error, DurabilityError::UnknownOutcome);
        let is_refused = handle.increment_at("during", 1, Durability::Memory).await.is_err();
        assert_eq!(is_refused, on_disk_failure == OnDiskFailure::Stop);
        let mut committed = store.committed();
        committed.wait_for(|committed| !committed.is_failed).await.unwrap();
        let during = handle.value_at("during", Durability::Fsync).await.unwrap();
        crash(store, keyspace, &disk).await;
        let (store, keyspace) = open(&disk, options()).await.unwrap();
        assert_eq!(store.handle().keyspace().value("during").await.unwrap(), during);
        assert_eq!(store.handle().keyspace().value("before").await.unwrap(), Some(1));
        close(store, keyspace).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_distributed_anew_over_another_number_of_shards() {
    let disk = MemoryDisk::new(0);
    for shards in [3, 5, 2, 2] {
        let mut options = options();
        options.keyspace.shards = NonZeroUsize::new(shards).unwrap();
        let (store, keyspace) = open(&disk, options).await.unwrap();
        let handle = store.handle();
        assert_eq!(handle.keyspace().shards(), shards);
        for n in 0..50_u8 {
            handle.increment_at([n], 1, Durability::Memory).await.unwrap();
        }
        close(store, keyspace).await;
    }
    let (store, keyspace) = open(&disk, options()).await.unwrap();
    for n in 0..50_u8 {
        assert_eq!(store.handle().keyspace().value([n]).await.unwrap(), Some(4));
    }
    close(store, keyspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_replace_the_log_while_counting_goes_on() {
    let outer = TempDir::new().unwrap();
    let dir = outer.path().join("counts");
    let options = StoreOptions { min_snapshot_bytes: 1 << 14, ..options() };
    let (store, keyspace) = Store::open(&dir, options.clone()).await.unwrap();
    let handle = store.handle();
    let has_snapshot = || {
        let mut names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.any(|name| name.to_string_lossy().ends_with(".snapshot")) && !dir.join("000001.log").exists()
    };
    let mut rounds = 0;
    while !has_snapshot() {
        for n in 0..500_u32 {
            handle.increment_at(n.to_le_bytes(), 1, Durability::Memory).await.unwrap();
        }
        handle.flush().await.unwrap();
        rounds += 1;
    }
    close(store, keyspace).await;
    let (store, keyspace) = Store::open(&dir, options.clone()).await.unwrap();
    assert_eq!(store.handle().keyspace().stats().await.unwrap().total_value, 500 * rounds);
    close(store, keyspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_on_an_empty_disk_does_not_issue_sessions_of_the_one_before() {
    let mut issued = Vec::new();
    for disk in 0..2 {
        let (store, keyspace) = open(&MemoryDisk::new(disk), options()).await.unwrap();
        assert!(issued.iter().all(|session| !store.sessions().may_have_opened(*session)));
        issued.push(store.open_session("client").unwrap());
        close(store, keyspace).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_a_power_failure_takes_effect_once() {
    let names = ["a", "b", "c", "d", "e"];
    let request = || names.map(|name| (name, Operation::Add(1)));
    for seed in 0..10 {
        let disk = MemoryDisk::new(seed);
        let (store, keyspace) = open(&disk, options()).await.unwrap();
        let session = store.open_session("client").unwrap();
        let handle = store.handle();
        let first = handle.apply_in_session_at(session, 1, request(), Durability::Fsync).await.unwrap();
        assert_eq!(first.outcomes, [Outcome::Value(Some(1)); 5]);
        // The second request is lost, or its answer is.
        disk.fail_at(disk.operations() + seed % 3, Fault::Crash);
        let lost = handle.apply_in_session_at(session, 2, request(), Durability::Fsync).await;
        crash(store, keyspace, &disk).await;

        let (store, keyspace) = open(&disk, options()).await.unwrap();
        let handle = store.handle();
        let again = handle.apply_in_session_at(session, 2, request(), Durability::Fsync).await.unwrap();
        assert_eq!(again.outcomes, [Outcome::Value(Some(2)); 5], "{lost:?}");
        assert!(store.open_session("client").unwrap() > session);
        store.end_earlier_sessions().await.unwrap();
        let ended = handle.apply_in_session_at(session, 3, request(), Durability::Fsync).await;
        assert_eq!(ended.unwrap_err(), DurabilityError::Session(SessionError::Expired));
        close(store, keyspace).await;
        let (store, keyspace) = open(&disk, options()).await.unwrap();
        let ended = store.handle().apply_in_session_at(session, 3, request(), Durability::Fsync).await;
        assert_eq!(ended.unwrap_err(), DurabilityError::Session(SessionError::Expired));
        assert_eq!(store.handle().keyspace().value("a").await.unwrap(), Some(2));
        close(store, keyspace).await;
    }
}
