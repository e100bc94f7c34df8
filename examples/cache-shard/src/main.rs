//! Four clients use a cache that is too small for their keys, for 20 seconds of simulated time. Look at how many
//! lookups find something although only every tenth key has room, and at the shard that is killed half-way: it comes
//! back with every entry and count it had. README.md has more.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use cache_shard::{Cache, Key, Stats, Value};
use ractor_supervision::ChildEvent;

const SHARDS: NonZeroUsize = NonZeroUsize::new(4).expect("it is not zero");
const ENTRIES: NonZeroUsize = NonZeroUsize::new(250).expect("it is not zero");
const TTL: Duration = Duration::from_secs(5);
const KEYS: u32 = 10_000;
const CLIENTS: u64 = 4;
const LOOKUPS: u64 = 10_000;

/// Runs on one thread, with a clock that moves only when everybody waits, so every run is the same and takes no time.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<()> {
    println!("{SHARDS} shards of {ENTRIES} entries, {CLIENTS} clients of {LOOKUPS} lookups, {KEYS} keys\n");
    let (cache, supervisor) = Cache::start(SHARDS, ENTRIES).await?;
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(cache.clone(), n))).collect();

    // Half-way, at an odd millisecond, when no client does anything: every change from here on is an effect of the
    // kill.
    tokio::time::sleep(Duration::from_millis(10_001)).await;
    let (mut events, before) = (supervisor.subscribe(), cache.stats().await?);
    supervisor.actor().get_children()[0].kill();
    while !matches!(events.recv().await?.kind, ChildEvent::Restarted { .. }) {}
    let (before, after): (Stats, Stats) = (before.into_iter().sum(), cache.stats().await?.into_iter().sum());
    println!("one shard killed: {} entries before, {} after\n", before.entries, after.entries);

    let hits = futures_util::future::try_join_all(clients).await?.into_iter().sum::<Result<u64>>()?;
    let shards = cache.stats().await?;
    let total: Stats = shards.iter().copied().sum();
    println!("shard    lookups     hits  hit rate  entries  evicted  expired");
    let names = (0..shards.len()).map(|n| n.to_string()).chain(["all".into()]);
    for (name, stats) in names.zip(shards.iter().chain([&total])) {
        let Stats { hits, misses, evicted, expired, entries } = stats;
        let (lookups, rate) = (hits + misses, stats.hit_rate_percent());
        println!("{name:5} {lookups:10} {hits:8} {rate:8.1}% {entries:8} {evicted:8} {expired:8}");
    }
    supervisor.shutdown().await;

    ensure!(before == after, "the killed shard did not come back as it was");
    ensure!((total.hits, total.misses) == (hits, CLIENTS * LOOKUPS - hits), "a lookup was lost or doubled");
    println!("\nexact: each lookup counted once, nothing lost with the shard");
    Ok(())
}

/// Looks keys up, and inserts missing ones, as if from a database. Returns the number of hits.
async fn client(cache: Cache, seed: u64) -> Result<u64> {
    let (mut random, mut hits) = (fastrand::Rng::with_seed(seed), 0);
    for _ in 0..LOOKUPS {
        // Much like Zipf's law: the nth key has a probability proportional to 1/n.
        let key = Key::from(format!("key {:.0}", f64::from(KEYS).powf(random.f64())));
        let value = Value::from(key.to_uppercase().into_bytes());
        if let Some(found) = cache.get(&key).await? {
            ensure!(found == value, "found another value under {key}");
            hits += 1;
        } else {
            cache.insert(&key, value, TTL).await?;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(hits)
}
