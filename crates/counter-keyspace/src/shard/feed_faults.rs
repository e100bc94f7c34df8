//! Feeds of shards that crash under load: what arrives in confirmed rounds equals the keyspace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use ractor_faults::{Fault, Faults, seed};
use tokio::task::JoinSet;

use super::faults::{Accepted, CRASHES, PRODUCERS, everything, faulty, kill, options, produce, yields};
use super::*;
use crate::feed::{Feed, SnapshotToken};
use crate::handle::KeyspaceHandle;
use crate::keyspace::Keyspace;

/// Reads a feed, a round of each shard after the other.
struct Reader {
    feed: Feed,
    replica: Accepted,
    random: Rng,
}

fn apply(page: &RoundPage, shard: usize, handle: &KeyspaceHandle, replica: &mut Accepted) {
    if page.reset {
        replica.retain(|name, _| handle.shard_of(handle.key(name.as_bytes()).unwrap()) != shard);
    }
    for name in page.end.iter().flat_map(|end| &end.removed) {
        replica.remove(str::from_utf8(name).unwrap());
    }
    replica.extend(entries(&page.changed));
}

fn entries(page: &EntryPage) -> impl Iterator<Item = (String, (i64, u64))> {
    page.iter().map(|entry| {
        let name = str::from_utf8(entry.name).unwrap().to_owned();
        (name, (entry.count.value, entry.count.operations))
    })
}

impl Reader {
    /// Reads a round, which is abandoned now and then.
    async fn round(&mut self, shard: usize, handle: &KeyspaceHandle) {
        let mut pages = Vec::new();
        for _ in 0..self.random.u8(..4) {
            pages.push(self.feed.pull(shard, self.random.usize(1..100)).await.unwrap());
        }
        while pages.last().is_none_or(|page| page.end.is_none()) {
            pages.push(self.feed.finish_within(shard, self.random.usize(50..500)).await.unwrap());
        }
        if self.random.u8(..8) == 0 {
            self.feed.retry(shard);
        } else {
            pages.iter().for_each(|page| apply(page, shard, handle, &mut self.replica));
            self.feed.confirm(shard);
        }
    }

    async fn read(mut self, handle: KeyspaceHandle, calm: Arc<AtomicBool>) -> Self {
        while !calm.load(Ordering::Relaxed) {
            let shard = self.random.usize(..self.feed.shards());
            self.round(shard, &handle).await;
            if self.random.u8(..8) == 0 {
                self.feed.snapshot_page(shard, SnapshotToken::default(), 10).await.unwrap();
            }
            yields(self.random.u8(..20)).await;
        }
        self
    }
}

async fn remove(handle: KeyspaceHandle, mut random: Rng, calm: Arc<AtomicBool>) {
    while !calm.load(Ordering::Relaxed) {
        handle.remove(random.u16(..2_000).to_string()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_shards_that_crash_miss_nothing() {
    let seed = seed();
    let (mut random, faults, calm) =
        (Rng::with_seed(seed), Faults::default(), Arc::new(AtomicBool::new(false)));
    let keyspace = Keyspace::start_with(options(), faulty(&faults), None).await.unwrap();
    let handle = keyspace.handle();
    let (mut producers, mut others, mut readers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for _ in 0..PRODUCERS {
        producers.spawn(produce(keyspace.handle(), random.u64(..), Arc::clone(&calm)));
    }
    others.spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
    others.spawn(remove(keyspace.handle(), random.fork(), Arc::clone(&calm)));
    for _ in 0..2 {
        let reader = Reader { feed: handle.follow(), replica: BTreeMap::new(), random: random.fork() };
        readers.spawn(reader.read(keyspace.handle(), Arc::clone(&calm)));
    }
    for _ in 0..CRASHES / 2 {
        faults.inject(Fault::random(&mut random));
        faults.happened().await;
    }
    calm.store(true, Ordering::Relaxed);
    others.join_all().await;
    producers.join_all().await;
    // A producer's last operations may be in an outbox that was dropped, and come with a later restart.
    let mut before = None;
    while before != Some(handle.stats().await.unwrap().total_operations) {
        before = Some(handle.stats().await.unwrap().total_operations);
        yields(255).await;
    }
    for mut reader in readers.join_all().await {
        for shard in 0..reader.feed.shards() {
            let page = reader.feed.finish(shard).await.unwrap();
            apply(&page, shard, &handle, &mut reader.replica);
        }
        assert_eq!(reader.replica, everything(&handle).await, "FAULT_SEED={seed}");
    }
    keyspace.shutdown().await;
}
