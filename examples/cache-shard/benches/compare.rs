//! The same clients with this cache and with moka's: lookups per second and hit rates, side by side.
//!
//! `cargo bench -p cache-shard`

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::num::NonZeroUsize;
use std::time::Duration;

use cache_shard::{Cache, Key, Value};
use fastrand::Rng;
use futures_util::future::join_all;
use moka::policy::EvictionPolicy;
use tokio::time::Instant;

const SHARDS: NonZeroUsize = NonZeroUsize::new(4).expect("it is not zero");
const SHARD_ENTRIES: NonZeroUsize = NonZeroUsize::new(2_500).expect("it is not zero");
const ENTRIES: u64 = 10_000;
const TTL: Duration = Duration::from_secs(60);
/// Numbers of clients and keys: more keys than there is room for, fewer, and a single client.
const SCENES: [(u64, u32); 3] = [(16, 100_000), (16, 5_000), (1, 5_000)];
const LOOKUPS: usize = 50_000;
const ROUNDS: u64 = 5;

/// Cache to measure.
trait Subject: Clone + Send + 'static {
    fn get(&self, key: &Key) -> impl Future<Output = Option<Value>> + Send;
    fn insert(&self, key: &Key, value: Value) -> impl Future<Output = ()> + Send;
}

impl Subject for Cache {
    async fn get(&self, key: &Key) -> Option<Value> {
        Self::get(self, key).await.expect("it runs")
    }

    async fn insert(&self, key: &Key, value: Value) {
        Self::insert(self, key, value, TTL).await.expect("it runs");
    }
}

type Moka = moka::future::Cache<Key, Value>;

impl Subject for Moka {
    async fn get(&self, key: &Key) -> Option<Value> {
        Self::get(self, key).await
    }

    async fn insert(&self, key: &Key, value: Value) {
        Self::insert(self, Key::clone(key), value).await;
    }
}

fn moka(policy: EvictionPolicy) -> Moka {
    Moka::builder().max_capacity(ENTRIES).time_to_live(TTL).eviction_policy(policy).build()
}

/// Returns lookups per second and hits per hundred of all clients together, as the clients count them.
async fn measure(cache: impl Subject, (clients, keys): (u64, u32), round: u64) -> (f64, f64) {
    let lookups: Vec<Vec<Key>> = (0..clients).map(|n| draw(keys, round * clients + n)).collect();
    let started = Instant::now();
    let running = lookups.into_iter().map(|keys| tokio::spawn(client(cache.clone(), keys)));
    let hits: u32 = join_all(running).await.into_iter().map(|hits| hits.expect("it ends")).sum();
    let lookups = clients as f64 * LOOKUPS as f64;
    (lookups / started.elapsed().as_secs_f64(), 100.0 * f64::from(hits) / lookups)
}

/// Draws keys: the nth key has a probability proportional to 1/n, much like Zipf's law.
fn draw(keys: u32, seed: u64) -> Vec<Key> {
    let mut random = Rng::with_seed(seed);
    let key = |_| format!("key {:.0}", f64::from(keys).powf(random.f64())).into();
    (0..LOOKUPS).map(key).collect()
}

async fn client(cache: impl Subject, keys: Vec<Key>) -> u32 {
    let (value, mut hits) = (Value::from([0; 100]), 0);
    for key in keys {
        if cache.get(&key).await.is_some() {
            hits += 1;
        } else {
            cache.insert(&key, Value::clone(&value)).await;
        }
        // Lets other tasks run, as a wait for a network would.
        tokio::task::consume_budget().await;
    }
    hits
}

fn median(rounds: &[(f64, f64)], figure: fn(&(f64, f64)) -> f64) -> f64 {
    let mut figures: Vec<_> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn compare(scene: (u64, u32)) {
    let (mut actors, mut tiny_lfu, mut lru) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (cache, supervisor) = Cache::start(SHARDS, SHARD_ENTRIES).await.expect("it starts");
        actors.push(measure(cache, scene, round).await);
        supervisor.shutdown().await;
        tiny_lfu.push(measure(moka(EvictionPolicy::tiny_lfu()), scene, round).await);
        lru.push(measure(moka(EvictionPolicy::lru()), scene, round).await);
    }
    println!("\nclients: {}, keys: {}", scene.0, scene.1);
    println!("                  lookups/s  hit rate  times as fast");
    let ours = median(&actors, |round| round.0);
    for (name, rounds) in [("cache-shard", &actors), ("moka, TinyLFU", &tiny_lfu), ("moka, LRU", &lru)] {
        let (speed, rate) = (median(rounds, |round| round.0), median(rounds, |round| round.1));
        println!("{name:14} {speed:12.0} {rate:8.1}% {:14.1}", speed / ours);
    }
}

fn main() {
    // `cargo test` runs benchmarks without this argument, and has no use for this one.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        println!("{ENTRIES} entries, {LOOKUPS} lookups a client; medians of {ROUNDS} rounds");
        for scene in SCENES {
            runtime.block_on(async { tokio::spawn(compare(scene)).await.expect("it ends") });
        }
    }
}
