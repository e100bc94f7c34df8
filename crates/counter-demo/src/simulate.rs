//! The article's scenario: clients bump counters while an aggregator collects from them.
//!
//! Nothing here sleeps to be sure. Clients end by waiting for their counters, a fresh collection takes the final
//! statistics, and those are compared with what the clients say they sent.

mod clients;
mod report;

use std::io;
use std::sync::Arc;

use aggregator_actor::{AggregatorArguments, AggregatorHandle, Collection};
use anyhow::anyhow;
use counter_actor::{CounterArguments, CounterHandle};
use counter_protocol::CounterName;
use futures_util::future::join_all;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use self::clients::{Plan, Sent};
use self::report::Outcome;
use crate::cli::SimulateArguments;
use crate::exit::{Ended, Failure};
use crate::progress;
use crate::signals::Stop;

pub(crate) async fn run(arguments: &SimulateArguments, stop: Stop) -> Result<Ended, Failure> {
    let plan = Plan::from(arguments);
    let bar = progress::operations(plan.total_operations());
    report::heading(&mut io::stdout().lock(), arguments)?;
    let show = |collection: &Collection| {
        bar.suspend(|| report::collection(&mut io::stdout().lock(), arguments.format, collection))
    };
    let outcome = simulate(arguments, &bar, &stop, show).await?;
    bar.finish_and_clear();
    report::result(&mut io::stdout().lock(), arguments.format, &outcome)?;
    if !outcome.is_exact() {
        return Err(Failure::Other(anyhow!("the statistics differ from what the clients sent")));
    }
    Ok(match outcome.interrupted {
        None => Ended::Complete,
        Some(signal) => {
            let (operations, planned) = (outcome.sent.operations, plan.total_operations());
            Ended::Partial(signal, format!("the result is of {operations} of {planned} operations"))
        }
    })
}

/// One simulation from start to shutdown. Shows each collection as it happens.
async fn simulate(
    arguments: &SimulateArguments,
    bar: &ProgressBar,
    stop: &Stop,
    mut show: impl FnMut(&Collection) -> io::Result<()>,
) -> Result<Outcome, Failure> {
    let collect_every = Some(arguments.collect_every);
    let aggregator =
        AggregatorHandle::spawn(AggregatorArguments { collect_every, ..AggregatorArguments::default() })
            .await?;
    let counters = start_counters(arguments.counters, &aggregator).await?;

    let mut clients = JoinSet::new();
    for client in 0..arguments.clients {
        clients.spawn(clients::run(client, arguments.into(), counters.clone(), bar.clone(), stop.clone()));
    }
    let mut sent = Sent::default();
    let mut collections = aggregator.subscribe();
    while !clients.is_empty() {
        tokio::select! {
            Some(client) = clients.join_next() => sent += client.expect("clients do not panic")?,
            Ok(()) = collections.changed() => show(&collections.borrow_and_update().clone())?,
        }
    }

    let totals = aggregator.collect().await?;
    let counter_stats = aggregator.counter_stats().await?;
    join_all(counters.iter().map(CounterHandle::shutdown)).await;
    aggregator.shutdown().await;
    Ok(Outcome { sent, totals, counter_stats, interrupted: stop.requested() })
}

/// Names sort as their numbers do.
async fn start_counters(
    number: usize,
    aggregator: &AggregatorHandle,
) -> Result<Arc<[CounterHandle]>, Failure> {
    let digits = number.to_string().len();
    let mut counters = Vec::with_capacity(number);
    for n in 1..=number {
        let name = CounterName::from(format!("counter-{n:0digits$}"));
        let counter = CounterHandle::spawn(CounterArguments::new(name.clone())).await?;
        aggregator.register(name, counter.actor().clone())?;
        counters.push(counter);
    }
    Ok(counters.into())
}

#[cfg(test)]
mod tests;
