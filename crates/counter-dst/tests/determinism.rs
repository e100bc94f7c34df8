//! The same seed is the same simulation, byte for byte, in this process and in another.

use std::process::Command;

use counter_dst::{Schedule, simulate};

/// Seeds of nodes in memory and of durable ones.
const SEEDS: std::ops::Range<u64> = 1..9;

#[test]
fn a_seed_has_the_same_trace_each_time() {
    for seed in SEEDS {
        let schedule = Schedule::generate(seed, None);
        let [first, second] = [(); 2].map(|()| simulate(&schedule, true));
        assert_eq!(first.violation, None, "seed {seed}");
        assert!(!first.trace.is_empty());
        assert!(first.trace.lines().eq(second.trace.lines()), "seed {seed}");
        assert_eq!(first.trace.hash(), second.trace.hash());
    }
}

#[test]
fn a_seed_has_the_same_trace_in_another_process() {
    let trace = |seed: &str| {
        let replayed =
            Command::new(env!("CARGO_BIN_EXE_counter-dst")).args(["--trace", "--seed", seed]).output();
        let replayed = replayed.expect("it runs");
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
        replayed.stdout
    };
    for seed in SEEDS {
        let seed = seed.to_string();
        assert!(trace(&seed) == trace(&seed), "seed {seed}");
    }
}
