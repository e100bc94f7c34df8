//! The command `counter-chaos` with real servers.

use counter_chaos::ChaosOptions;

use super::setup::shared;

/// Runs the command as `counter-chaos` does, and returns what it prints.
async fn run(options: impl FnOnce(ChaosOptions) -> ChaosOptions) -> String {
    let program = env!("CARGO_BIN_EXE_counter-server").into();
    // The defaults of the command line.
    let defaults = ChaosOptions {
        program,
        nodes: 3,
        operations: 100_000,
        names: 1000,
        seconds: None,
        faults: true,
        seed: fastrand::u64(..1_000_000),
    };
    let mut out = Vec::new();
    let outcome = counter_chaos::run(options(defaults), &mut out).await;
    let out = String::from_utf8(out).expect("it is text");
    assert!(outcome.is_ok(), "{outcome:?}: {out}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_counts_what_it_is_sent_and_says_so() {
    let _machine = shared().await;
    let out = run(|defaults| ChaosOptions {
        nodes: 2,
        operations: 5000,
        names: 50,
        faults: false,
        seed: 7,
        ..defaults
    })
    .await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "2 nodes on this machine: a and b (seed 7)");
    assert_eq!(lines[2], "a and b count 5000 operations each on 50 names");
    let row = |name| lines.iter().find(|line| line.starts_with(name)).expect("each node has a row");
    assert_eq!(row("a  ").replacen('a', "b", 1), *row("b  "));
    assert!(row("a  ").contains(" 10000 "), "{out}");
    assert_eq!(lines.last(), Some(&"exact: just what was sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_is_survived_and_what_was_lost_is_said() {
    let _machine = shared().await;
    let out = run(|defaults| ChaosOptions { operations: 20_000, ..defaults }).await;
    for part in ["\ncut: ", "\nhealed: ", "\nkilled: ", "\nrestarted: ", "\nstopped: ", "\ncontinued: "] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(out.contains("acknowledged operations had not been replicated\n"), "{out}");
    assert_eq!(out.lines().last(), Some("exact: just what was sent, but for those"));
}
