//! Checks, dumps and loads a store that nobody has open.

mod cli;
mod line;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use counter_cli::{Completion, Failure, Program, Stop};
use counter_keyspace::Entry;
use counter_store::{OpenError, ReplicaKey, Report, Store, StoreOptions};

use crate::cli::{Cli, Command};
use crate::line::{Line, Sum};

fn main() -> ExitCode {
    let Cli { command, log } = Cli::parse();
    let program = Program { name: "counter-store", default_filter: "warn", log, threads: None };
    counter_cli::run(program, |stop| run(command, stop))
}

async fn run(command: Command, mut stop: Stop) -> Result<Completion, Failure> {
    // On a task of its own: reading and writing block.
    let running = tokio::task::spawn_blocking(|| match command {
        Command::Check { dir, accept_loss } => check(&dir, accept_loss),
        Command::Dump { sum: false, dir, accept_loss } => dump(&dir, accept_loss),
        Command::Dump { sum: true, dir, accept_loss } => dump_sums(&dir, accept_loss),
        Command::Load { dir } => load(&dir),
    });
    tokio::select! {
        outcome = running => outcome.context("the command has ended")??,
        signal = stop.wait() => return Ok(Completion::Partial(signal, "the command was not completed".into())),
    }
    Ok(Completion::Complete)
}

fn check(dir: &Path, accept_loss: bool) -> Result<(), Failure> {
    let report = counter_store::read(dir, accept_loss, &mut |_| {}, |_, _| {}).map_err(failure)?;
    let totals = |of: fn(&counter_keyspace::ShardTotals) -> i128| report.totals.iter().map(of).sum::<i128>();
    let mut out = io::stdout().lock();
    let mut write = || {
        writeln!(out, "{} counters, value {}", totals(|totals| totals.names.into()), totals(|t| t.value))?;
        let operations: u128 = report.totals.iter().map(|totals| totals.operations).sum();
        let rejected: u128 = report.totals.iter().map(|totals| totals.rejected_operations).sum();
        writeln!(out, "{operations} operations, {rejected} rejected")?;
        let Report { sequence, incarnation, totals, damage, .. } = &report;
        writeln!(out, "{} shards, opened {incarnation} times, {sequence} frames", totals.len())?;
        if let Some(replica) = &report.replica {
            let columns = report.columns.iter();
            let value: i128 = columns.clone().map(|(_, totals)| totals.value).sum();
            let operations: u128 = columns.clone().map(|(_, totals)| totals.operations).sum();
            writeln!(out, "replica {replica}, {} members", report.members.len())?;
            writeln!(out, "{} columns of others, value {value}, {operations} operations", columns.len())?;
        }
        damage.iter().try_for_each(|damage| writeln!(out, "missing: {damage}"))
    };
    write().map_err(Failure::output)
}

fn dump(dir: &Path, accept_loss: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let report = counter_store::read(dir, accept_loss, &mut |_| {}, |replica, entry| {
        if written.is_ok() {
            written = Line::new(replica, entry).write(&mut out);
        }
    });
    let report = report.map_err(failure)?;
    written.and_then(|()| out.flush()).map_err(Failure::output)?;
    warn_of_damage(&report);
    Ok(())
}

/// Prints the sums over all replicas, in order of name.
fn dump_sums(dir: &Path, accept_loss: bool) -> Result<(), Failure> {
    let mut sums = BTreeMap::<Box<[u8]>, Sum>::new();
    let add =
        |_: Option<&ReplicaKey>, entry: Entry<'_>| sums.entry(entry.name.into()).or_default().add(entry);
    let report = counter_store::read(dir, accept_loss, &mut |_| {}, add).map_err(failure)?;
    let mut out = BufWriter::new(io::stdout().lock());
    for (name, sum) in sums {
        let line = sum.line(&name).map_err(|error| Failure::Other(error.into()))?;
        line.write(&mut out).map_err(Failure::output)?;
    }
    out.flush().map_err(Failure::output)?;
    warn_of_damage(&report);
    Ok(())
}

fn warn_of_damage(report: &Report) {
    if let Some(damage) = &report.damage {
        tracing::warn!("missing from the dump: {damage}");
    }
}

/// Creates a store beside the directory, and gives it its name when all of it is durable.
fn load(dir: &Path) -> Result<(), Failure> {
    if dir.exists() {
        return Err(Failure::input(OpenError::Exists));
    }
    let mut name = dir.file_name().ok_or_else(|| Failure::input(anyhow!("not a directory name")))?.to_owned();
    name.push(".loading");
    let unfinished = dir.with_file_name(name);
    if unfinished.exists() {
        let text = format!("{}: left by a load that has failed; remove it", unfinished.display());
        return Err(Failure::input(anyhow!(text)));
    }
    let loaded = load_into(&unfinished);
    if loaded.is_err() {
        let _ = std::fs::remove_dir_all(&unfinished);
        return loaded;
    }
    counter_store::rename_store(&unfinished, dir).context("failed to name the store")?;
    Ok(())
}

fn load_into(dir: &Path) -> Result<(), Failure> {
    let mut loader = Store::loader(StoreOptions::default().keyspace.shards).map_err(failure)?;
    let mut input = io::stdin().lock();
    let (mut text, mut number) = (String::new(), 0_u64);
    loop {
        text.clear();
        number += 1;
        if input.read_line(&mut text).with_context(|| format!("line {number}")).map_err(Failure::Input)? == 0
        {
            break;
        }
        let line = Line::parse(&text).with_context(|| format!("line {number}")).map_err(Failure::Input)?;
        if line.is_of_replica() {
            let text = format!("line {number}: entry of a replica; load what `dump --sum` prints");
            return Err(Failure::input(anyhow!(text)));
        }
        loader.insert(line.entry()).with_context(|| format!("line {number}")).map_err(Failure::Input)?;
    }
    let store = tokio::runtime::Handle::current().block_on(async {
        let (store, keyspace) = loader.create(dir, StoreOptions::default()).await?;
        let done = store.shutdown().await;
        keyspace.shutdown().await;
        Ok::<_, OpenError>(done)
    });
    store.map_err(failure)?.context("failed to write the store")?;
    Ok(())
}

/// A directory that is not there or in use is the user's mistake, a damaged one is not.
fn failure(error: OpenError) -> Failure {
    match error {
        OpenError::Absent | OpenError::Locked | OpenError::Exists | OpenError::SameName => {
            Failure::input(error)
        }
        OpenError::Disk { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Failure::input(error)
        }
        error => Failure::Other(error.into()),
    }
}
