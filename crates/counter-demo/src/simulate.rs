//! The `simulate` command, the article's scenario: clients bump counters while an aggregator collects from them.
//!
//! Nothing here sleeps to be sure. When the clients are done, every counter is asked, which waits for those that are
//! being restarted; a fresh collection takes the final statistics, and those are compared with what the clients say
//! they sent.

mod clients;
mod faults;
mod report;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions, Collection};
use anyhow::anyhow;
use counter_actor::{CounterActor, CounterHandle};
use counter_cli::{Completion, Failure, Stop};
use counter_keyspace::{Keyspace, KeyspaceOptions, Reporting, ShardActor};
use counter_protocol::Count;
use counter_system::{CounterSystem, SystemOptions};
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use ractor_faults::{Faults, Faulty};
use ractor_supervision::{Backoff, Intensity, Options, OwnedTask};
use tokio::task::JoinSet;

use self::clients::{Plan, Sent, Target};
use self::report::{Counters, Entry, Named, Outcome};
use crate::cli::SimulateArguments;
use crate::output::{Out, Output};
use crate::progress;

pub(crate) async fn run(arguments: SimulateArguments, stop: Stop) -> Result<Completion, Failure> {
    let plan = Plan::from(&arguments);
    let bar = progress::operations(plan.total_operations());
    let (output, format) = (Output::new(&stop)?, arguments.format);
    let heading = arguments.clone();
    output.write(move |out| report::heading(out, &heading)).await?;
    let show = |collection: Collection| {
        let (bar, output) = (bar.clone(), output.clone());
        async move {
            let print = move |out: &mut Out| {
                bar.suspend(|| {
                    report::collection(out, format, &collection)?;
                    out.flush()
                })
            };
            output.write(print).await
        }
    };
    let outcome = Arc::new(simulate(&arguments, &bar, &stop, show).await?);
    bar.finish_and_clear();
    let result = Arc::clone(&outcome);
    output.write(move |out| report::result(out, format, &result)).await?;
    if !outcome.is_exact() {
        return Err(Failure::Other(anyhow!("the statistics differ from what the clients sent")));
    }
    Ok(match outcome.interrupted {
        None => Completion::Complete,
        Some(signal) => {
            let (operations, planned) = (outcome.sent.operations, plan.total_operations());
            Completion::Partial(signal, format!("the result is of {operations} of {planned} operations"))
        }
    })
}

/// Runs one simulation from start to shutdown. Shows each collection as it happens.
async fn simulate<S: Future<Output = Result<(), Failure>>>(
    arguments: &SimulateArguments,
    bar: &ProgressBar,
    stop: &Stop,
    show: impl FnMut(Collection) -> S,
) -> Result<Outcome, Failure> {
    if arguments.keyspace.is_some() {
        on_keyspace(arguments, bar, stop, show).await
    } else {
        on_actors(arguments, bar, stop, show).await
    }
}

/// Runs the simulation on counters that are actors.
async fn on_actors<S: Future<Output = Result<(), Failure>>>(
    arguments: &SimulateArguments,
    bar: &ProgressBar,
    stop: &Stop,
    show: impl FnMut(Collection) -> S,
) -> Result<Outcome, Failure> {
    let faults = Faults::default();
    let system = CounterSystem::start_with(options(arguments), Faulty::new(CounterActor, &faults)).await?;
    let counters = start_counters(arguments.counters, &system).await?;
    let crasher =
        arguments.crash_every.map(|period| OwnedTask::from(faults::crash_every(period, &faults, &counters)));
    // Handles of their own, so that clients do not contend.
    let plan = Plan::from(arguments);
    let target = |client| {
        Target::Counters(plan.counters_of(client).map(|counter| counters[counter].clone()).collect())
    };
    let sent = drive(arguments, target, system.aggregator(), bar, stop, show).await?;
    drop(crasher);
    faults.clear();

    try_join_all(counters.iter().map(CounterHandle::value)).await?;
    let totals = system.aggregator().collect().await?;
    let stats = system.aggregator().counter_stats().await?;
    system.shutdown().await;
    let counters = stats.into_iter().map(|(name, stats)| Named { name, stats }).collect();
    Ok(Outcome { sent, totals, counters: Counters::Actors(counters), interrupted: stop.requested() })
}

/// Runs the simulation on names of a keyspace, whose shards report to an aggregator.
async fn on_keyspace<S: Future<Output = Result<(), Failure>>>(
    arguments: &SimulateArguments,
    bar: &ProgressBar,
    stop: &Stop,
    show: impl FnMut(Collection) -> S,
) -> Result<Outcome, Failure> {
    let SystemOptions { aggregator, supervision } = options(arguments);
    let aggregator = AggregatorHandle::start(aggregator).await?;
    let reporting = Reporting { keyspace: "keyspace".into(), aggregator: aggregator.clone() };
    let options = KeyspaceOptions { supervision, ..KeyspaceOptions::default() };
    let keyspace = Keyspace::start_with(options, ShardActor, Some(reporting)).await?;
    let target = |_client| Target::Keyspace(keyspace.handle());
    let sent = drive(arguments, target, &aggregator, bar, stop, show).await?;

    let totals = aggregator.collect().await?;
    let top = keyspace.handle().top(report::LISTED).await?;
    keyspace.shutdown().await;
    aggregator.shutdown().await;
    let entry = |(name, Count { value, operations })| {
        let stats = Entry { current_value: value, total_operations: operations };
        Named { name, stats }
    };
    let counters = Counters::Entries(top.into_iter().map(entry).collect());
    Ok(Outcome { sent, totals, counters, interrupted: stop.requested() })
}

/// Runs the clients to their end, and shows each collection on the way.
async fn drive<S: Future<Output = Result<(), Failure>>>(
    arguments: &SimulateArguments,
    target: impl Fn(usize) -> Target,
    aggregator: &AggregatorHandle,
    bar: &ProgressBar,
    stop: &Stop,
    mut show: impl FnMut(Collection) -> S,
) -> Result<Sent, Failure> {
    let mut clients = JoinSet::new();
    for client in 0..arguments.clients {
        clients.spawn(clients::run(client, arguments.into(), target(client), bar.clone(), stop.clone()));
    }
    let mut sent = Sent::default();
    let mut collections = aggregator.subscribe();
    while !clients.is_empty() {
        tokio::select! {
            Some(client) = clients.join_next() => sent += client.expect("clients do not panic")?,
            Ok(()) = collections.changed() => {
                let collection = collections.borrow_and_update().clone();
                show(collection).await?;
            }
        }
    }
    Ok(sent)
}

/// Options under which counters are restarted at once, as often as they crash.
fn options(arguments: &SimulateArguments) -> SystemOptions {
    let collect_every = Some(arguments.collect_every);
    let intensity = Intensity { restarts: usize::MAX, ..Intensity::default() };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    SystemOptions {
        aggregator: AggregatorOptions { collect_every, ..AggregatorOptions::default() },
        supervision: Options { intensity, backoff, ..Options::default() },
    }
}

/// Starts counters, with names that sort as their numbers do.
async fn start_counters(
    number: usize,
    system: &CounterSystem<Faulty<CounterActor>>,
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
