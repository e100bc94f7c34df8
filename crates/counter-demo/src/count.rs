//! The `count` command: each line of the input, or a part of it, names a counter to increment.
//!
//! A thread reads chunks of lines. On every core a worker takes the next chunk, splits it, folds what it finds
//! by name, and sends the result to the keyspace, which has a shard on every core as well.

mod chunk;
mod decode;
mod newlines;
mod read;
mod report;
mod source;
mod split;
mod stats;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::anyhow;
use counter_cli::{Completion, Failure, Interrupt, Stop};
use counter_keyspace::{Keyspace, KeyspaceHandle, KeyspaceOptions, OverflowPolicy};
use indicatif::ProgressBar;
use ractor_supervision::OwnedTask;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::read::{Chunks, Reader};
use self::report::{Counters, Counts};
use self::split::Split;
use self::stats::{Stats, Tally};
use self::worker::Worker;
use crate::cli::{CountArguments, CountFormat, Sort};
use crate::output::{Out, Output};
use crate::progress;

/// Maximum number of names that wait for a shard in the handle of a worker: more than there are in most chunks.
const NAMES_WAITING: NonZeroUsize = NonZeroUsize::new(1 << 17).expect("it is not zero");

/// Interval between two views of the largest values.
const LIVE_EVERY: Duration = Duration::from_millis(250);

/// Number of the largest values that are shown.
const LIVE_NAMES: usize = 10;

pub(crate) async fn run(arguments: CountArguments, stop: Stop) -> Result<Completion, Failure> {
    let started = Instant::now();
    let options = KeyspaceOptions {
        max_pending_names: NAMES_WAITING,
        overflow: OverflowPolicy::Carry,
        ..KeyspaceOptions::default()
    };
    let keyspace = Keyspace::start(options).await?;
    let (input, interrupted) = read(&arguments, &keyspace, &stop).await?;

    let handle = keyspace.handle();
    let overflowed = handle.take_overflowed().await?;
    let totals = handle.stats().await?;
    let counters = counters(&arguments, keyspace).await?;
    let (operations, names) = (totals.total_operations, totals.num_counters);
    let counts = Counts { totals, counters, partial: interrupted.is_some() };
    let format = arguments.format.unwrap_or_else(default_format);
    let (output, print) = (Output::new(&stop)?, move |out: &mut Out| report::print(out, format, &counts));
    match interrupted {
        None => output.write_complete(print).await?,
        Some(_) => output.write(print).await?,
    }
    if arguments.stats {
        let peak_memory_bytes = stats::peak_memory_bytes();
        let stats = Stats { input, names, elapsed: started.elapsed(), peak_memory_bytes };
        // Nobody may be reading any more, which is no reason to fail.
        let _ = writeln!(io::stderr(), "{stats}");
    }
    if !overflowed.is_empty() {
        return Err(Failure::Other(anyhow!("{}", report::overflow(&overflowed))));
    }
    Ok(match interrupted {
        None => Completion::Complete,
        Some(signal) => Completion::Partial(signal, format!("the result is of the first {operations} names")),
    })
}

/// Counts the input. Returns how much was counted, and the signal that has kept the rest from being counted, if any.
async fn read(
    arguments: &CountArguments,
    keyspace: &Keyspace,
    stop: &Stop,
) -> Result<(Tally, Option<Interrupt>), Failure> {
    let sources = source::sources(&arguments.files).map_err(Failure::Input)?;
    let bar = progress::bytes(source::total_bytes(&sources));
    let live = arguments.live.then(|| OwnedTask::from(tokio::spawn(show(keyspace.handle(), bar.clone()))));
    let split = Split::from(arguments);
    let (reader, chunks) = Reader::start(sources, split.part);
    let mut workers = JoinSet::new();
    for _ in 0..keyspace.handle().shards() {
        let worker = Worker::new(keyspace.handle(), split, bar.clone(), arguments.live);
        workers.spawn(worker.run(chunks.clone(), stop.clone()));
    }
    let (mut input, mut failed) = (Tally::default(), Vec::new());
    for end in workers.join_all().await {
        match end {
            Ok(tally) => input = input + tally,
            Err(stopped) => failed.push(stopped),
        }
    }
    drop(live);
    bar.finish_and_clear();
    // Chunks are taken in order, so the first bad line of all is among those that workers have stopped at.
    if let Some(first) = failed.into_iter().min_by_key(|stopped| stopped.chunk) {
        return Err(first.failure);
    }
    let interrupted = interruption(&chunks, stop);
    if interrupted.is_none() {
        input.lines += reader.join()?;
    }
    Ok((input, interrupted))
}

/// Takes the counters that are to be printed out of the keyspace.
async fn counters(arguments: &CountArguments, keyspace: Keyspace) -> Result<Counters, Failure> {
    if arguments.all {
        let lost = |_| anyhow!("a shard of the keyspace has not applied everything");
        return Ok(Counters::All(keyspace.into_tables().await.map_err(lost)?, arguments.sort.order()));
    }
    let mut top = keyspace.handle().top(arguments.top.get()).await?;
    keyspace.shutdown().await;
    if arguments.sort == Sort::Name {
        top.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    }
    Ok(Counters::Top(top))
}

/// Signal that has kept chunks from being counted, if one has: not one that came behind the last chunk.
fn interruption(chunks: &Chunks, stop: &Stop) -> Option<Interrupt> {
    stop.requested().filter(|_| !(chunks.is_closed() && chunks.is_empty()))
}

fn default_format() -> CountFormat {
    if io::stdout().is_terminal() { CountFormat::Table } else { CountFormat::Tsv }
}

/// Shows the largest values below the progress bar, at every [`LIVE_EVERY`].
async fn show(handle: KeyspaceHandle, bar: ProgressBar) {
    let mut ticks = tokio::time::interval(LIVE_EVERY);
    loop {
        ticks.tick().await;
        let Ok(top) = handle.top(LIVE_NAMES).await else { return };
        let lines =
            top.iter().map(|(name, count)| format!("\n{:>12}  {}", count.value, report::shorten(name)));
        bar.set_message(lines.collect::<String>());
    }
}

#[cfg(test)]
mod tests {
    use async_channel::bounded;

    use super::*;

    #[test]
    fn a_signal_behind_the_last_chunk_interrupts_nothing() {
        let (sender, chunks) = bounded(1);
        let stop = Stop::requested_by(Interrupt::Term);
        assert_eq!(interruption(&chunks, &stop), Some(Interrupt::Term), "more may come");
        sender.try_send(read::tests::chunk(b"a\n")).unwrap();
        drop(sender);
        assert_eq!(interruption(&chunks, &stop), Some(Interrupt::Term), "one is left");
        chunks.try_recv().unwrap();
        assert_eq!(interruption(&chunks, &stop), None);
        assert_eq!(interruption(&chunks, &Stop::never()), None);
    }
}
