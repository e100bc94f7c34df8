//! Measures rounds of a store and its recovery.
//!
//! `cargo run --release -p counter-store --example commit -- DIR [NAMES [NAMES_PER_ROUND [ROUNDS]]]`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use counter_keyspace::{Deltas, KeyspaceHandle, KeyspaceOptions};
use counter_store::{Store, StoreOptions};
use fastrand::Rng;
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::print_stdout, reason = "it is for a person to read")]
#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("the first argument is a directory that does not exist")?);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (names, per_round, rounds) = (number(1_000_000)?, number(10_000)?, number(200)?);
    let (store, keyspace) = Store::open(&dir, options()).await?;
    let handle = keyspace.handle();
    let start = Instant::now();
    for first in (0..names).step_by(100_000) {
        count(&handle, first..names.min(first + 100_000)).await?;
    }
    store.flush().await?;
    println!("{names} names counted and durable after {:.2?}", start.elapsed());

    let mut rng = Rng::with_seed(1);
    let (mut committing, mut longest, mut cpu) = (Duration::ZERO, Duration::ZERO, 0.0);
    let before = written_bytes();
    for _ in 0..rounds {
        let changed: Vec<_> = (0..per_round).map(|_| rng.u64(..names)).collect();
        count(&handle, changed.into_iter()).await?;
        handle.flush().await?;
        let (start, cpu_before) = (Instant::now(), cpu_seconds());
        store.flush().await?;
        committing += start.elapsed();
        longest = longest.max(start.elapsed());
        cpu += cpu_seconds() - cpu_before;
    }
    let entries = (rounds * per_round) as f64;
    println!(
        "{rounds} rounds of {per_round} names: {:.2} M entries/s, {:.3} CPU s per M entries, longest {longest:.2?}, \
         {:.1} bytes written per name",
        entries / committing.as_secs_f64() / 1e6,
        cpu / entries * 1e6,
        (written_bytes() - before) as f64 / entries,
    );
    store.shutdown().await?;
    let before = keyspace.shutdown().await;

    let start = Instant::now();
    let (store, keyspace) = Store::open(&dir, options()).await?;
    println!("opened after {:.2?}, {:.0} MB on disk", start.elapsed(), dir_bytes(&dir)? as f64 / 1e6);
    let after = keyspace.handle().stats().await?;
    assert_eq!((after.num_counters, after.total_value), (before.num_counters, before.total_value));
    store.shutdown().await?;
    keyspace.shutdown().await;
    Ok(())
}

/// Rounds only when they are asked for.
fn options() -> StoreOptions {
    let shards = NonZeroUsize::new(2).expect("it is not zero");
    let keyspace = KeyspaceOptions { shards, ..KeyspaceOptions::default() };
    StoreOptions { keyspace, round_interval: Duration::from_secs(3600), ..StoreOptions::default() }
}

/// Counts each of these names once.
async fn count(handle: &KeyspaceHandle, names: impl Iterator<Item = u64>) -> Outcome<()> {
    let mut deltas: Vec<_> = (0..handle.shards()).map(|_| Deltas::with_capacity(1 << 10, 1 << 14)).collect();
    for n in names {
        let name = format!("name-{n:07}");
        let key = handle.key(name.as_bytes())?;
        deltas[handle.shard_of(key)].add(key, 1.into());
    }
    Ok(handle.merge(deltas).await?)
}

/// Processor time of the process, from Linux.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

/// Bytes that the process has written, from Linux.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn dir_bytes(dir: &Path) -> std::io::Result<u64> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
