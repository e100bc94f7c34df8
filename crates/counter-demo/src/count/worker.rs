//! Workers, which take chunks, combine what is in them by name, and send the result to the keyspace.

use anyhow::anyhow;
use async_channel::RecvError;
use counter_cli::{Failure, Stop};
use counter_keyspace::{Combiner, KeyspaceHandle};
use indicatif::ProgressBar;
use tracing::debug;

use super::read::{Chunk, Chunks};
use super::split::Split;
use super::stats::Tally;

pub(super) struct Worker {
    handle: KeyspaceHandle,
    combiner: Combiner,
    split: Split,
    bar: ProgressBar,
    live: bool,
    tally: Tally,
}

/// Failure of a worker.
pub(super) struct Stopped {
    /// Number of the chunk that it failed at.
    pub(super) chunk: u64,
    pub(super) failure: Failure,
}

impl Worker {
    pub(super) fn new(handle: KeyspaceHandle, split: Split, bar: ProgressBar, live: bool) -> Self {
        let combiner = Combiner::new(handle.clone());
        Self { handle, combiner, split, bar, live, tally: Tally::default() }
    }

    /// Counts until there are no more chunks, or it is asked to stop. Returns how much it has counted.
    pub(super) async fn run(mut self, chunks: Chunks, mut stop: Stop) -> Result<Tally, Stopped> {
        let mut last = 0;
        loop {
            let chunk = tokio::select! {
                biased;
                _signal = stop.wait() => break,
                chunk = chunks.recv() => match chunk {
                    Err(RecvError) => break,
                    Ok(chunk) => chunk,
                },
            };
            last = chunk.number;
            if let Err(failure) = self.count(chunk).await {
                // No worker is to take another chunk.
                chunks.close();
                return Err(Stopped { chunk: last, failure });
            }
        }
        let rest = self.combiner.take_all();
        match self.handle.merge(rest).await {
            Ok(()) => Ok(self.tally),
            Err(error) => Err(Stopped { chunk: last, failure: error.into() }),
        }
    }

    async fn count(&mut self, mut chunk: Chunk) -> Result<(), Failure> {
        let (number, bytes, lines) = (chunk.number, chunk.piece.bytes.len() as u64, chunk.lines);
        self.combine(&mut chunk)?;
        let deltas = if self.live { self.combiner.take_all() } else { self.combiner.take() };
        self.handle.merge(deltas).await?;
        self.tally = self.tally + Tally { bytes, lines };
        self.bar.inc(bytes);
        debug!(chunk = number, bytes, "chunk counted");
        // So the shards apply it on this thread, while it is still in the cache.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Adds what is in a chunk to the combiner.
    fn combine(&mut self, chunk: &mut Chunk) -> Result<(), Failure> {
        let Self { combiner, split, .. } = self;
        let outcome = split.each(&mut chunk.piece, |bytes, len, amount| {
            combiner.add(bytes, len, amount).expect("a split name is within the limit");
        });
        outcome.map_err(|(line, bad)| {
            let number = chunk.lines_before + line + 1;
            Failure::Input(anyhow!("{}: line {number}: {bad}", chunk.source))
        })
    }
}
