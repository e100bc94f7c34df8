//! Increments through handles with a store that commits every 100 ms, beside the same keyspace without one.

use std::time::Duration;

use counter_keyspace::{Keyspace, KeyspaceHandle};
use counter_store::{Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::engines;
use crate::process;

const PRODUCERS: u64 = 2;
const DURATION: Duration = Duration::from_secs(4);
const ROUNDS: usize = 5;

#[expect(clippy::print_stdout, reason = "this is a program")]
pub(crate) fn run(runtime: &Runtime) {
    println!(
        "| names that all change | in memory, million/s | with a store | ratio | longest increment, with a store | peak memory |"
    );
    println!("|---|---|---|---|---|---|");
    for names in [1_000, 100_000, 1_000_000] {
        let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round(names, runtime)).collect();
        rounds.sort_unstable_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let (memory, store, _) = rounds[ROUNDS / 2];
        let longest = rounds.iter().map(|round| round.2).max().expect("there are some");
        println!(
            "| {names} | {memory:.2} | {store:.2} | {:.2} | {:.1} ms | {} MB |",
            store / memory,
            longest.as_secs_f64() * 1e3,
            process::peak_mb()
        );
    }
}

/// Million increments per second without and with a store, and the longest increment with one.
fn round(names: u64, runtime: &Runtime) -> (f64, f64, Duration) {
    let keyspace = engines::in_memory(runtime);
    let (memory, _) = runtime.block_on(produce(&keyspace, names));
    runtime.block_on(keyspace.shutdown());
    let dir = tempfile::tempdir_in("target").expect("a directory");
    let opened = runtime.block_on(Store::open(&dir.path().join("store"), StoreOptions::default()));
    let (store, keyspace) = opened.expect("a new directory");
    let (with_store, longest) = runtime.block_on(produce(&keyspace, names));
    runtime.block_on(store.shutdown()).expect("the disk works");
    runtime.block_on(keyspace.shutdown());
    (memory, with_store, longest)
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
async fn produce(keyspace: &Keyspace, names: u64) -> (f64, Duration) {
    let started = Instant::now();
    let producers: Vec<_> =
        (0..PRODUCERS).map(|n| tokio::spawn(increment(keyspace.handle(), n, names, started))).collect();
    let (mut operations, mut longest) = (0_u64, Duration::ZERO);
    for producer in producers {
        let (done, slowest) = producer.await.expect("it does not panic");
        (operations, longest) = (operations + done, longest.max(slowest));
    }
    keyspace.handle().flush().await.expect("it runs");
    (operations as f64 / 1e6 / started.elapsed().as_secs_f64(), longest)
}

async fn increment(handle: KeyspaceHandle, seed: u64, names: u64, started: Instant) -> (u64, Duration) {
    let list: Vec<_> = (0..names).map(engines::name).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut operations, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    while started.elapsed() < DURATION {
        for _ in 0..64 {
            let name = &list[usize::try_from(random.u64(..names)).expect("it is in the list")];
            handle.increment(name, 1).await.expect("it runs");
        }
        // Of 64 increments, which is an upper bound for each.
        longest = longest.max(last.elapsed());
        last = Instant::now();
        operations += 64;
    }
    handle.flush().await.expect("it runs");
    (operations, longest)
}
