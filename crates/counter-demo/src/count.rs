//! Counts real input: each line names a counter to increment.
//!
//! A thread reads chunks of whole lines; the tally looks up or starts each line's counter and sends it the
//! operation. What waits for a counter is folded into one operation, so it needs no bound of its own.

mod input;
mod record;
mod report;
mod tally;

use std::io::{self, IsTerminal};

use anyhow::anyhow;

use self::input::Chunk;
use self::tally::Tally;
use crate::cli::{CountArguments, CountFormat};
use crate::exit::{Ended, Failure};
use crate::progress;
use crate::signals::Stop;

pub(crate) async fn run(arguments: CountArguments, mut stop: Stop) -> Result<Ended, Failure> {
    let sources = input::sources(&arguments.files).map_err(Failure::Input)?;
    let bar = progress::bytes(input::total_bytes(&sources));
    let mut chunks = input::read(sources);
    let mut tally = Tally::start(arguments.amounts).await?;
    loop {
        let chunk: Chunk = tokio::select! {
            biased;
            () = stop.wait() => break,
            chunk = chunks.recv() => match chunk {
                Some(chunk) => chunk.map_err(Failure::Input)?,
                None => break,
            },
        };
        tally.add(&chunk).await?;
        bar.inc(chunk.bytes.len() as u64);
    }
    bar.finish_and_clear();

    let interrupted = stop.requested();
    let counts = tally.finish().await?;
    let format = arguments.format.unwrap_or_else(default_format);
    let top = if arguments.all { usize::MAX } else { arguments.top.get() };
    report::print(&mut io::stdout().lock(), format, &counts, top, interrupted.is_some())?;
    if counts.totals.refused_operations > 0 {
        let refused = counts.totals.refused_operations;
        return Err(Failure::Other(anyhow!(
            "refused operations: {refused}, for they would have taken a value out of the range of 64 bits"
        )));
    }
    Ok(match interrupted {
        None => Ended::Complete,
        Some(signal) => Ended::Partial(
            signal,
            format!("the result is of the first {} lines", counts.totals.total_operations),
        ),
    })
}

fn default_format() -> CountFormat {
    if io::stdout().is_terminal() { CountFormat::Table } else { CountFormat::Tsv }
}
