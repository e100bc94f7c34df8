//! The article's scenario: clients bump counters while an aggregator collects from them.
//!
//! Nothing here sleeps to be sure. When the clients are done, every counter is asked, which waits for those that are
//! being restarted; a fresh collection takes the final statistics, and those are compared with what the clients say
//! they sent.

mod clients;
mod faults;
mod report;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aggregator_actor::{AggregatorOptions, Collection};
use anyhow::anyhow;
use counter_actor::CounterHandle;
use counter_system::{CounterSystem, SystemOptions};
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use ractor_supervision::{Backoff, Intensity, Options, OwnedTask};
use tokio::task::JoinSet;

use self::clients::{Plan, Sent};
use self::faults::{Faults, FaultyCounter};
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
    let faults = Arc::new(Faults::default());
    let system = CounterSystem::start_with(options(arguments), FaultyCounter::new(&faults)).await?;
    let counters = start_counters(arguments.counters, &system).await?;

    let mut clients = JoinSet::new();
    for client in 0..arguments.clients {
        // Handles of its own, so that clients do not contend.
        let own =
            Plan::from(arguments).counters_of(client).map(|counter| counters[counter].clone()).collect();
        clients.spawn(clients::run(client, arguments.into(), own, bar.clone(), stop.clone()));
    }
    let crasher = arguments.crash_every.map(|period| OwnedTask::from(faults.crash_every(period, &counters)));
    let mut sent = Sent::default();
    let mut collections = system.aggregator().subscribe();
    while !clients.is_empty() {
        tokio::select! {
            Some(client) = clients.join_next() => sent += client.expect("clients do not panic")?,
            Ok(()) = collections.changed() => show(&collections.borrow_and_update().clone())?,
        }
    }
    drop(crasher);
    faults.clear();

    try_join_all(counters.iter().map(CounterHandle::value)).await?;
    let totals = system.aggregator().collect().await?;
    let counter_stats = system.aggregator().counter_stats().await?;
    system.shutdown().await;
    Ok(Outcome { sent, totals, counter_stats, interrupted: stop.requested() })
}

/// However often counters are made to crash, they are restarted at once.
fn options(arguments: &SimulateArguments) -> SystemOptions {
    let collect_every = Some(arguments.collect_every);
    let intensity = Intensity { restarts: usize::MAX, ..Intensity::default() };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    SystemOptions {
        aggregator: AggregatorOptions { collect_every, ..AggregatorOptions::default() },
        supervision: Options { intensity, backoff, ..Options::default() },
    }
}

/// Names sort as their numbers do.
async fn start_counters(
    number: usize,
    system: &CounterSystem<FaultyCounter>,
) -> Result<Vec<CounterHandle>, Failure> {
    let digits = number.to_string().len();
    let mut counters = Vec::with_capacity(number);
    for n in 1..=number {
        counters.push(system.counter(format!("counter-{n:0digits$}")).await?);
    }
    Ok(counters)
}

#[cfg(test)]
mod tests;
