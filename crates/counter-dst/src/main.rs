//! Simulates clusters by seed, and says what they have broken.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Parser;
use counter_cli::{Completion, Failure, Program, Stop};
use counter_dst::{Campaign, explain, replay, simulate_all};
#[cfg(mutations)]
use mutations::Mutation;
use tokio::task::spawn_blocking;

use crate::cli::Cli;

/// Number of seeds from which on each kind of fault must have had an effect.
const ENOUGH_SEEDS: u64 = 1_000;

/// Number of seeds within which a planted bug has to be found.
#[cfg(mutations)]
const SEEDS_PER_MUTATION: u64 = 10_000;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What is simulated is told by the trace.
    let program = Program { name: "counter-dst", default_filter: "off", log: cli.log, threads: None };
    counter_cli::run(program, |stop| run(cli, stop))
}

async fn run(cli: Cli, mut stop: Stop) -> Result<Completion, Failure> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    let mut running = spawn_blocking({
        let is_stopping = Arc::clone(&is_stopping);
        move || execute(&cli, &is_stopping)
    });
    let signal = tokio::select! {
        done = &mut running => {
            done.map_err(anyhow::Error::from)??;
            return Ok(Completion::Complete);
        }
        signal = stop.wait() => signal,
    };
    is_stopping.store(true, Ordering::Relaxed);
    running.await.map_err(anyhow::Error::from)??;
    Ok(Completion::Partial(signal, "not all seeds were simulated".into()))
}

fn execute(cli: &Cli, stop: &AtomicBool) -> anyhow::Result<()> {
    let out = &mut io::stdout();
    if let Some(seed) = cli.seed {
        let only = (!cli.only.is_empty()).then(|| cli.only.iter().copied().collect());
        return match replay(seed, cli.nodes, only.as_ref(), cli.trace, out)? {
            true => Err(anyhow!("seed {seed} breaks a promise")),
            false => Ok(()),
        };
    }
    if let Some(name) = &cli.mutation {
        return find_planted(name, cli, stop, out);
    }
    let from = cli.from.unwrap_or_else(|| fastrand::u64(..1 << 48));
    let jobs = jobs(cli);
    let campaign = Campaign {
        seeds: from..from.saturating_add(cli.seeds),
        within: cli.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        nodes: cli.nodes,
        jobs,
    };
    writeln!(out, "seeds from {from} on, {jobs} at the same time")?;
    let summary = simulate_all(&campaign, stop, out)?;
    writeln!(out, "{}\nfaults that had an effect: {}", summary.rate(), summary.coverage)?;
    if let Some((seed, violation)) = summary.failure {
        writeln!(out, "seed {seed} breaks a promise: {violation}")?;
        explain(seed, cli.nodes, out)?;
        bail!("seed {seed} breaks a promise: {violation}");
    }
    let missing = summary.coverage.missing();
    if summary.seeds >= ENOUGH_SEEDS && !missing.is_empty() {
        bail!("some kinds of faults had no effect: {missing:?}");
    }
    Ok(())
}

/// Returns the number of simulations at the same time.
fn jobs(cli: &Cli) -> usize {
    cli.jobs.unwrap_or_else(|| available_parallelism().map_or(1, Into::into))
}

#[cfg(mutations)]
fn find_planted(name: &str, cli: &Cli, stop: &AtomicBool, out: &mut dyn Write) -> anyhow::Result<()> {
    let chosen: Vec<_> = match Mutation::named(name) {
        Some(mutation) => vec![mutation],
        None if name == "all" => Mutation::ALL.to_vec(),
        None => bail!("expected all or one of {:?}", Mutation::ALL),
    };
    let (mut missed, from) = (Vec::new(), cli.from.unwrap_or(1));
    for mutation in chosen {
        mutations::plant(Some(mutation));
        let seeds = from..from + SEEDS_PER_MUTATION;
        let campaign = Campaign { seeds, within: None, nodes: cli.nodes, jobs: jobs(cli) };
        let summary = simulate_all(&campaign, stop, &mut io::sink())?;
        match summary.failure {
            Some((seed, violation)) => {
                writeln!(
                    out,
                    "{mutation:?} is found after {} seeds, by seed {seed}: {violation}",
                    summary.seeds
                )?;
            }
            None => {
                writeln!(out, "{mutation:?} is not found in {} seeds", summary.seeds)?;
                missed.push(mutation);
            }
        }
        mutations::plant(None);
    }
    if missed.is_empty() { Ok(()) } else { bail!("planted bugs that were not found: {missed:?}") }
}

#[cfg(not(mutations))]
fn find_planted(_: &str, _: &Cli, _: &AtomicBool, _: &mut dyn Write) -> anyhow::Result<()> {
    bail!("no bug can be planted: compile everything with RUSTFLAGS=\"--cfg mutations\"")
}
