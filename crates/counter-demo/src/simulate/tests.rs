use std::future::ready;
use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::cli::SimulateFormat;

async fn outcome_of(counters: usize, clients: usize, operations: u32, delay: Duration) -> Outcome {
    let arguments = SimulateArguments {
        counters,
        clients,
        operations,
        delay,
        collect_every: Duration::from_millis(100),
        keyspace: None,
        crash_every: None,
        format: SimulateFormat::Table,
    };
    simulate(&arguments, &ProgressBar::hidden(), &Stop::never(), |_| ready(Ok(()))).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_articles_scenario_totals_160_after_200_operations() {
    let outcome = outcome_of(4, 4, 50, Duration::from_millis(10)).await;
    assert_eq!(outcome.sent, Sent { value: 160, operations: 200 });
    assert!(outcome.is_exact(), "{:?}", outcome.totals);
}

#[tokio::test(start_paused = true)]
async fn a_flood_over_shared_and_over_many_counters_is_exact() {
    for (counters, clients) in [(1, 7), (3, 2), (50, 3)] {
        let outcome = outcome_of(counters, clients, 5_000, Duration::ZERO).await;
        assert_eq!(outcome.sent.operations, clients as u64 * 5_000);
        assert!(outcome.is_exact(), "{:?}", outcome.totals);
    }
}

#[tokio::test(start_paused = true)]
async fn collections_are_shown_as_they_happen() {
    let arguments = SimulateArguments {
        counters: 1,
        clients: 1,
        operations: 11,
        delay: Duration::from_millis(100),
        collect_every: Duration::from_millis(240),
        keyspace: None,
        crash_every: None,
        format: SimulateFormat::Table,
    };
    let mut seen = Vec::new();
    let show = |collection: Collection| {
        seen.push((collection.number, collection.stats.total_operations));
        ready(Ok(()))
    };
    simulate(&arguments, &ProgressBar::hidden(), &Stop::never(), show).await.unwrap();
    assert_eq!(seen[..3], [(1, 3), (2, 5), (3, 8)]);
}

#[tokio::test(start_paused = true)]
async fn crashes_are_survived_and_counted() {
    let arguments = SimulateArguments {
        counters: 3,
        clients: 4,
        operations: 500,
        delay: Duration::from_millis(10),
        collect_every: Duration::from_millis(100),
        keyspace: None,
        crash_every: Some(Duration::from_millis(25)),
        format: SimulateFormat::Table,
    };
    let outcome =
        simulate(&arguments, &ProgressBar::hidden(), &Stop::never(), |_| ready(Ok(()))).await.unwrap();
    assert!(outcome.is_exact(), "{:?}", outcome.totals);
    assert!((150..=210).contains(&outcome.totals.restarts), "{}", outcome.totals.restarts);
}

#[tokio::test(start_paused = true)]
async fn a_keyspace_is_as_exact_as_actors_are() {
    let arguments = SimulateArguments {
        counters: 4,
        clients: 3,
        operations: 5_000,
        delay: Duration::ZERO,
        collect_every: Duration::from_millis(100),
        keyspace: NonZeroU32::new(1_000),
        crash_every: None,
        format: SimulateFormat::Table,
    };
    let outcome =
        simulate(&arguments, &ProgressBar::hidden(), &Stop::never(), |_| ready(Ok(()))).await.unwrap();
    assert!(outcome.is_exact(), "{:?}", outcome.totals);
    assert_eq!((outcome.totals.num_counters, outcome.totals.total_operations), (1_000, 15_000));
}
