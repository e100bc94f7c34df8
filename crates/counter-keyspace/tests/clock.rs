//! A shard whose clock panics while it has a batch, a question or an answer in hand.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use counter_keyspace::{Clock, Keyspace, KeyspaceOptions, Reading};

/// Clock that panics once, after this number of looks at it. It stands still.
#[derive(Debug)]
struct Panics(AtomicI64);

impl Clock for Panics {
    fn now(&self) -> Reading {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
            // Without a message from the panic hook.
            resume_unwind(Box::new("planned panic"));
        }
        Reading { wall_ms: 0, monotonic: Duration::ZERO }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_panics_at_any_look_at_its_clock_loses_nothing() {
    for looks in 0..8 {
        let clock = Arc::new(Panics(AtomicI64::new(looks)));
        let options = KeyspaceOptions {
            shards: NonZeroUsize::MIN,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..KeyspaceOptions::default()
        };
        let keyspace = Keyspace::start(options).await.unwrap();
        let (handle, mut feed) = (keyspace.handle(), keyspace.handle().follow());
        handle.increment("a", 1).await.unwrap();
        // Its sender hangs up while it is under way.
        handle.clone().increment("b", 2).await.unwrap();
        let mut names = Vec::new();
        while names.len() < 2 {
            let page = feed.finish(0).await.unwrap();
            names.extend(page.changed.iter().map(|entry| entry.name.to_vec()));
            feed.confirm(0);
        }
        assert_eq!(handle.remove("a").await.unwrap().unwrap().value, 1);
        let end = feed.finish(0).await.unwrap().end.unwrap();
        assert_eq!(end.removed, [Box::from(&b"a"[..])], "after {looks} looks");
        assert_eq!(end.totals.value, 2);
        keyspace.shutdown().await;
        assert!(clock.0.load(Ordering::Relaxed) < 0, "there are no {looks} looks");
    }
}
