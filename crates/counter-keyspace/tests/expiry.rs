//! Counters that expire, as their callers see them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use counter_keyspace::{Clock, Keyspace, KeyspaceOptions, Operation, Outcome, PageToken, Reading};

/// Clock that stands still unless it is set.
#[derive(Debug, Default)]
struct Manual(AtomicU64);

impl Manual {
    fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> Reading {
        Reading { wall_ms: self.0.load(Ordering::Relaxed), monotonic: Duration::ZERO }
    }
}

async fn keyspace() -> (Keyspace, Arc<Manual>) {
    let clock = Arc::new(Manual::default());
    let options = KeyspaceOptions {
        shards: NonZeroUsize::MIN,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..KeyspaceOptions::default()
    };
    (Keyspace::start(options).await.expect("it starts"), clock)
}

#[tokio::test(start_paused = true)]
async fn a_counter_expires_at_its_deadline_and_begins_anew() {
    let (keyspace, clock) = keyspace().await;
    let handle = keyspace.handle();
    assert!(!handle.expire("a", 100).await.unwrap());
    handle.increment("a", 5).await.unwrap();
    assert!(handle.expire("a", 100).await.unwrap());
    clock.set(99);
    assert_eq!(handle.ttl("a").await.unwrap(), Outcome::Ttl(Some(1)));
    assert_eq!(handle.add_and_get("a", 1).await.unwrap(), Outcome::Value(Some(6)));
    clock.set(100);
    assert_eq!(handle.value("a").await.unwrap(), None);
    assert_eq!(handle.ttl("a").await.unwrap(), Outcome::Value(None));
    assert!(handle.top(9).await.unwrap().is_empty());
    assert!(handle.scan(PageToken::default()).await.unwrap().0.is_empty());
    clock.set(0);
    assert_eq!(handle.value("a").await.unwrap(), None, "time never goes back");
    handle.increment("a", 2).await.unwrap();
    assert_eq!(handle.value("a").await.unwrap(), Some(2));
    assert_eq!(handle.ttl("a").await.unwrap(), Outcome::Ttl(None));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_is_persisted_or_set_does_not_expire() {
    let (keyspace, clock) = keyspace().await;
    let handle = keyspace.handle();
    for name in ["persisted", "set"] {
        handle.increment(name, 5).await.unwrap();
        handle.expire(name, 100).await.unwrap();
    }
    assert!(handle.persist("persisted").await.unwrap());
    assert!(!handle.persist("persisted").await.unwrap());
    handle.operate("set", Operation::Set(7)).await.unwrap();
    clock.set(200);
    assert_eq!(handle.value("persisted").await.unwrap(), Some(5));
    assert_eq!(handle.value("set").await.unwrap(), Some(7));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_removed_without_being_asked_for_and_through_a_crash() {
    let (keyspace, clock) = keyspace().await;
    let handle = keyspace.handle();
    for n in 0..1_000 {
        handle.increment(n.to_string(), 1).await.unwrap();
        handle.expire(n.to_string(), 100 + n % 3).await.unwrap();
    }
    handle.increment("stays", 1).await.unwrap();
    let mut feed = handle.follow();
    assert_eq!(feed.finish(0).await.unwrap().end.unwrap().totals.deadlines, 1_000);
    feed.confirm(0);
    keyspace.supervisor().actor().get_children()[0].kill();
    assert_eq!(handle.stats().await.unwrap().num_counters, 1_001);
    clock.set(102);
    tokio::time::advance(Duration::from_secs(2)).await;
    // The only thread runs the shard meanwhile, which has nothing to do but sweep.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let end = feed.finish(0).await.unwrap().end.unwrap();
    assert_eq!((end.removed.len(), end.totals.names, end.totals.deadlines, end.clock_ms), (1_000, 1, 0, 102));
    keyspace.shutdown().await;
}
