//! Applies deltas with no feed and with one, reads rounds of 10,000 names out of 10 million, and builds a shard of
//! 5 million names.
//!
//! `cargo bench -p counter-keyspace --bench feeds` (about 1 GB)

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::num::NonZeroUsize;
use std::time::Duration;

use counter_keyspace::{Deltas, Entry, Keyspace, KeyspaceOptions, Partitioner, ShardBuilder, Table};
use counter_protocol::Count;
use fastrand::Rng;
use tokio::time::Instant;

const NAMES: u64 = 5_000_000;
const ROUND: usize = 10_000;
const ROUNDS: u32 = 100;

fn name(n: u64) -> [u8; 12] {
    let mut name = [b'0'; 12];
    let digits = n.to_string();
    name[12 - digits.len()..].copy_from_slice(digits.as_bytes());
    name
}

fn per(took: Duration, number: u64) -> f64 {
    took.as_secs_f64() * 1e9 / number as f64
}

/// Returns the time that a table takes to apply deltas of `names` different names.
fn apply(partitioner: &Partitioner, names: u64) -> Duration {
    let (mut table, mut took, mut random) = (Table::default(), Duration::ZERO, Rng::with_seed(7));
    for _ in 0..50 {
        let mut deltas = Deltas::with_capacity(ROUND, 0);
        for _ in 0..ROUND {
            deltas.add(partitioner.key(&name(random.u64(..names))).expect("it is short"), 1);
        }
        let begun = Instant::now();
        table.apply_all(&mut deltas);
        took += begun.elapsed();
    }
    took
}

fn build(partitioner: &Partitioner, shard: usize) -> ShardBuilder {
    let mut builder = ShardBuilder::new(partitioner, shard);
    builder.reserve(5_000_000 / partitioner.shards().get(), 0);
    for n in 0..NAMES {
        let name = name(n);
        let key = partitioner.key(&name).expect("it is short");
        if partitioner.shard_of(key) == shard {
            let entry = Entry { name: &name, count: Count { value: 1, operations: 1 }, deadline_ms: None };
            builder.insert(entry).expect("it belongs to this shard");
        }
    }
    builder
}

async fn rounds(keyspace: &Keyspace) {
    let (handle, mut random) = (keyspace.handle(), Rng::with_seed(7));
    for feeds in 0..3 {
        let mut followers: Vec<_> = (0..feeds).map(|_| handle.follow()).collect();
        for feed in &mut followers {
            while feed.pull(0, 4096).await.expect("it runs").left > 0 {}
            feed.finish(0).await.expect("it runs");
            feed.confirm(0);
        }
        let (mut applying, mut reading, mut entries) = (Duration::ZERO, Duration::ZERO, 0);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for _ in 0..ROUND {
                handle.increment(name(random.u64(..NAMES)), 1).await.expect("it runs");
            }
            handle.flush().await.expect("it runs");
            applying += begun.elapsed();
            let begun = Instant::now();
            for feed in &mut followers {
                let round = feed.finish(0).await.expect("it runs");
                entries += round.changed.len() as u64;
                feed.confirm(0);
            }
            reading += begun.elapsed();
        }
        let increment = per(applying, u64::from(ROUNDS) * ROUND as u64);
        print!("{feeds} feeds: {increment:.0} ns per increment of random names");
        match entries {
            0 => println!(),
            _ => println!(", {:.0} ns per entry of a round", per(reading, entries)),
        }
    }
}

fn main() {
    // `cargo test` runs benchmarks without this argument, and has no use for this one.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let partitioner = Partitioner::new([1, 2, 3, 4], NonZeroUsize::MIN);
    for names in [100_000, 1_000_000] {
        println!("{names} names: {:.1} ns per delta", per(apply(&partitioner, names), 50 * ROUND as u64));
    }
    let begun = Instant::now();
    let shard = build(&partitioner, 0).build();
    println!("built {NAMES} names in {:.2?}", begun.elapsed());
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let options = KeyspaceOptions::default();
        let (keyspace, _feed) = Keyspace::resume_from(options, vec![shard]).await.expect("it starts");
        rounds(&keyspace).await;
        keyspace.shutdown().await;
    });
}
