//! Changes of counters, for whoever watches them.

use std::sync::Arc;
use std::time::Duration;

use counter_keyspace::{EntryPage, Feed, KeyspaceError, RoundPage, ShardFeed};
use counter_store::Committed;
use futures_util::future::try_join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::node::NodeCounters;
use crate::on_demand::Publisher;

/// Time between two looks at what has changed. A counter that changes more often is reported as it stands then.
const CHANGES_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of counters that are reported together.
const PAGE: usize = 1024;

/// Maximum number of pages of a shard in one interval. If more counters have changed, watchers miss them.
const ROUND_PAGES: usize = 64;

/// Number of pages that a watcher may be behind before it misses some.
pub(super) const PAGES_BEHIND: usize = 256;

/// Changes that happen while this exists.
#[derive(Debug)]
pub struct Subscription(pub(super) Receiver<Change>);

/// Something that has happened to counters.
#[derive(Clone, Debug)]
pub enum Change {
    /// Counters have changed.
    Counters(Arc<ChangedCounters>),
    /// Other counters may have changed: there were too many, or the watcher was too slow. Read anew what matters.
    Missed,
}

/// Counters that have changed, as they stood then.
#[derive(Clone, Debug, Default)]
pub struct ChangedCounters {
    /// Names of counters that have been removed, or have expired.
    pub removed: Vec<Box<[u8]>>,
    /// Counters that exist. A name that is also in `removed` has come again.
    pub changed: EntryPage,
}

/// Changes of a shard since the round before.
#[derive(Debug, Default)]
struct Round {
    pages: Vec<Change>,
    version: u64,
}

impl Subscription {
    /// Waits for the next change. `None` if the counters have stopped.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => Some(Change::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Skips what is there already, so that the feed has only what changes from now on.
pub(super) async fn skip_present(mut feed: Feed) -> Result<Feed, KeyspaceError> {
    try_join_all(feed.shards_mut().iter_mut().map(|shard| async {
        while shard.pull(PAGE).await?.left > PAGE {}
        shard.finish().await?;
        shard.confirm();
        Ok::<_, KeyspaceError>(())
    }))
    .await?;
    Ok(feed)
}

/// Publishes what changes, once it is durable if there is a store, and with the sums of a node.
pub(super) async fn publish(
    mut feed: Feed,
    mut committed: Option<watch::Receiver<Committed>>,
    node: Option<NodeCounters>,
    publisher: Publisher<Change>,
) {
    let mut ticks = interval(CHANGES_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while publisher.is_wanted().await {
        ticks.tick().await;
        let Ok(rounds) = try_join_all(feed.shards_mut().iter_mut().map(take_round)).await else { return };
        if let Some(committed) = &mut committed
            && !become_durable(&rounds, committed).await
        {
            return;
        }
        feed.shards_mut().iter_mut().for_each(ShardFeed::confirm);
        for change in rounds.into_iter().flat_map(|round| round.pages) {
            let Some(change) = with_sums(change, node.as_ref()).await else { return };
            publisher.publish(change);
        }
    }
}

/// Returns a change with what other nodes have counted, if there are any. `None` if the node has stopped.
async fn with_sums(change: Change, node: Option<&NodeCounters>) -> Option<Change> {
    match (change, node) {
        (Change::Counters(changes), Some(node)) => {
            let changes = node.with_sums(Arc::unwrap_or_clone(changes)).await.ok()?;
            Some(Change::Counters(Arc::new(changes)))
        }
        (change, _) => Some(change),
    }
}

/// Waits until rounds are durable. Returns false if the store has stopped before.
async fn become_durable(rounds: &[Round], committed: &mut watch::Receiver<Committed>) -> bool {
    if rounds.iter().all(|round| round.pages.is_empty()) {
        return true;
    }
    let versions: Vec<_> = rounds.iter().map(|round| round.version).collect();
    let reached = committed.wait_for(|committed| committed.is_stopped || committed.reaches(&versions)).await;
    reached.is_ok_and(|committed| committed.reaches(&versions))
}

async fn take_round(shard: &mut ShardFeed) -> Result<Round, KeyspaceError> {
    let mut round = Round::default();
    loop {
        let page = shard.pull(PAGE).await?;
        let left = page.left;
        round.add(page);
        if left <= PAGE {
            break;
        }
    }
    round.add(shard.finish().await?);
    Ok(round)
}

impl Round {
    fn add(&mut self, page: RoundPage) {
        let RoundPage { reset, changed, end, .. } = page;
        let removed = end.map_or_else(Vec::new, |end| {
            self.version = end.version;
            end.removed
        });
        if reset || self.pages.len() >= ROUND_PAGES {
            self.pages = vec![Change::Missed];
        }
        if !changed.is_empty() || !removed.is_empty() {
            self.pages.push(Change::Counters(Arc::new(ChangedCounters { removed, changed })));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use counter_keyspace::{Keyspace, KeyspaceOptions, Operation};
    use counter_store::{Store, StoreOptions};

    use super::super::{Counters, Durability};
    use super::*;

    /// Applies changes until a condition holds.
    async fn watch(
        subscription: &mut Subscription,
        seen: &mut BTreeMap<String, i64>,
        is_over: impl Fn(&BTreeMap<String, i64>) -> bool,
    ) {
        while !is_over(seen) {
            let Some(Change::Counters(changes)) = subscription.next().await else {
                panic!("a change is missed")
            };
            let text = |name: &[u8]| String::from_utf8(name.into()).unwrap();
            changes.removed.iter().for_each(|name| _ = seen.remove(&text(name)));
            seen.extend(changes.changed.iter().map(|entry| (text(entry.name), entry.count.value)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_sees_what_changes_after_it_has_come() {
        let keyspace = Keyspace::start(KeyspaceOptions::default()).await.unwrap();
        let counters = Counters::in_memory(&keyspace, 1);
        let add = |name| counters.apply([(name, Operation::Add(1))], Durability::Memory);
        add("before").await.unwrap();
        let (mut subscription, mut seen) = (counters.subscribe().await.unwrap(), BTreeMap::new());
        for name in ["a", "b", "a"] {
            add(name).await.unwrap();
        }
        // `before` is not among them, and what is seen of `a` in between depends on when it is looked at.
        let expected = BTreeMap::from([("a".into(), 2), ("b".into(), 1)]);
        watch(&mut subscription, &mut seen, |seen| *seen == expected).await;
        counters.apply([("a", Operation::RemoveAndGet)], Durability::Memory).await.unwrap();
        watch(&mut subscription, &mut seen, |seen| seen.len() == 1).await;
        assert!(seen.contains_key("b"));
        keyspace.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_is_too_slow_is_told_so() {
        let keyspace = Keyspace::start(KeyspaceOptions::default()).await.unwrap();
        let counters = Counters::in_memory(&keyspace, 1);
        let mut slow = counters.subscribe().await.unwrap();
        let (mut fast, mut seen) = (counters.subscribe().await.unwrap(), BTreeMap::new());
        for n in 1..=i64::try_from(PAGES_BEHIND).unwrap() + 1 {
            counters.apply([("a", Operation::Add(1))], Durability::Memory).await.unwrap();
            watch(&mut fast, &mut seen, |seen| seen.get("a") == Some(&n)).await;
        }
        assert!(matches!(slow.next().await, Some(Change::Missed)));
        assert!(matches!(slow.next().await, Some(Change::Counters(_))));
        keyspace.shutdown().await;
    }

    #[tokio::test]
    async fn with_a_store_a_watcher_sees_only_what_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        let (store, keyspace) = Store::open(dir.path(), StoreOptions::default()).await.unwrap();
        let counters = Counters::durable(store, Durability::Memory);
        let (mut subscription, mut seen) = (counters.subscribe().await.unwrap(), BTreeMap::new());
        for n in 1..=20 {
            counters.apply([("a", Operation::Add(1))], Durability::Memory).await.unwrap();
            watch(&mut subscription, &mut seen, |seen| seen.get("a") == Some(&n)).await;
            let (committed, versions) = (counters.committed().unwrap(), counters.versions().await.unwrap());
            let committed = committed.borrow().versions.clone();
            // Nothing else has happened, so everything that has is durable.
            assert_eq!(committed, versions);
        }
        counters.shutdown().await.unwrap();
        keyspace.shutdown().await;
    }
}
