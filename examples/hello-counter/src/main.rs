//! The whole counter system in one file: counters, an aggregator, clients, an orderly shutdown.
//!
//! Read from the top: `main` checks the result, `run_system` builds the system, `run_client` uses it.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions, Collection};
use anyhow::ensure;
use counter_actor::{CounterHandle, CounterState};
use counter_protocol::AggregatedStats;
use tokio::sync::watch;
use tokio::task::JoinSet;

const COUNTERS: i64 = 4;
const OPERATIONS: u32 = 50;
/// A client's pause after each operation.
const PAUSE: Duration = Duration::from_millis(10);
const COLLECT_EVERY: Duration = Duration::from_millis(100);

/// Expected total. Of 50 operations 17 are decrements. The other 33 outweigh them by 16, times the counters' numbers
/// 1 + 2 + 3 + 4.
const RIGHT_VALUE: i128 = 160;
const RIGHT_OPERATIONS: u128 = 200;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let totals = run_system().await?;
    println!("\ntotal value        {:>6}", totals.total_value);
    println!("total operations   {:>6}", totals.total_operations);
    println!("counters           {:>6}", totals.num_counters);
    println!("ops/s per counter  {:>6.1}", totals.avg_ops_per_second());
    ensure!(
        (totals.total_value, totals.total_operations) == (RIGHT_VALUE, RIGHT_OPERATIONS),
        "the totals should be {RIGHT_VALUE} after {RIGHT_OPERATIONS} operations"
    );
    println!("exact: {RIGHT_VALUE} after {RIGHT_OPERATIONS} operations, as it must be");
    Ok(())
}

/// Runs the system from start to shutdown, and returns its final statistics.
async fn run_system() -> anyhow::Result<AggregatedStats> {
    // An actor that knows all counters, and asks them for their statistics now and then.
    let options = AggregatorOptions { collect_every: Some(COLLECT_EVERY), ..AggregatorOptions::default() };
    let aggregator = AggregatorHandle::start(options).await?;
    let reporter = tokio::spawn(report(aggregator.subscribe()));

    // Four actors that own a number each. The handle is the only way to it.
    let mut counters = Vec::new();
    for number in 1..=COUNTERS {
        let counter = CounterHandle::start(CounterState::new(format!("counter-{number}"))?).await?;
        aggregator.register(counter.name().clone(), counter.actor()?).await?;
        counters.push(counter);
    }

    // Four clients at the same time. A clone of a handle speaks to the same counter.
    let mut clients = JoinSet::new();
    for (number, counter) in (1..).zip(&counters) {
        clients.spawn(run_client(counter.clone(), number));
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }

    // A fresh collection sees everything that was sent to the counters before it.
    let totals = aggregator.collect().await?;

    // Each actor handles the messages it has been sent, and then stops. The reporter ends with the aggregator.
    aggregator.shutdown().await;
    for counter in &counters {
        counter.shutdown().await;
    }
    reporter.await?;
    Ok(totals)
}

/// Sends increments, and every third operation, beginning with the first, as a decrement. It waits for none of them.
async fn run_client(counter: CounterHandle, amount: i64) -> anyhow::Result<()> {
    for operation in 0..OPERATIONS {
        if operation % 3 == 0 {
            counter.decrement(amount)?;
        } else {
            counter.increment(amount)?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Prints each collection when it ends, until the aggregator stops.
async fn report(mut collections: watch::Receiver<Collection>) {
    while collections.changed().await.is_ok() {
        let Collection { number, stats } = collections.borrow_and_update().clone();
        println!(
            "collection {number}: value {:>3} after {:>3} operations, {:.0} a second recently, {} unanswered",
            stats.total_value,
            stats.total_operations,
            stats.recent_operations_per_second.per_second(),
            stats.unanswered.len(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_system_totals_160_after_200_operations_of_4_clients() {
        let totals = run_system().await.unwrap();
        assert_eq!((totals.total_value, totals.total_operations, totals.num_counters), (160, 200, 4));
        assert!(totals.unanswered.is_empty());
    }
}
