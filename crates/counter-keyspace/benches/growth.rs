//! Grows a keyspace to 10 million counters with names of 12 bytes. Reports the memory that a counter takes beside its
//! name, and the longest time that one `increment` blocks its caller meanwhile.
//!
//! `cargo bench -p counter-keyspace` (Linux, about 1 GB)

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::fs;
use std::time::Duration;

use counter_keyspace::{Keyspace, KeyspaceOptions};
use tokio::time::Instant;

const COUNTERS: u64 = 10_000_000;
const NAME_BYTES: u64 = 12;

/// Returns the resident set, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024
}

async fn grow() {
    let keyspace = Keyspace::start(KeyspaceOptions::default()).await.expect("it starts");
    let handle = keyspace.handle();
    let (before, started) = (resident(), Instant::now());
    let mut longest = Duration::ZERO;
    for n in 0..COUNTERS {
        let name = format!("{n:012}");
        let begun = Instant::now();
        handle.increment(&name, 1).await.expect("it runs");
        longest = longest.max(begun.elapsed());
    }
    let stats = handle.stats().await.expect("it runs");
    assert_eq!((stats.num_counters, stats.total_operations), (COUNTERS, COUNTERS.into()));
    let (took, each) = (started.elapsed(), (resident() - before) as f64 / COUNTERS as f64);
    println!("{COUNTERS} counters in {took:.1?}");
    println!(
        "memory for each: {each:.1} bytes, {:.1} beside its name (goal: at most 64)",
        each - NAME_BYTES as f64
    );
    println!("longest increment: {longest:.1?} (goal: below 50 ms)");
    keyspace.shutdown().await;
}

fn main() {
    // `cargo test` runs benchmarks without this argument, and has no use for this one.
    if std::env::args().any(|argument| argument == "--bench") {
        tokio::runtime::Runtime::new()
            .expect("a runtime")
            .block_on(async { tokio::spawn(grow()).await.expect("it grows") });
    }
}
