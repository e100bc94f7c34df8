//! Workers, which take chunks, fold them by name, and send the result to the keyspace.

use anyhow::anyhow;
use async_channel::RecvError;
use counter_cli::{Failure, Stop};
use counter_keyspace::{Deltas, KeyspaceHandle};
use indicatif::ProgressBar;
use tracing::debug;

use super::read::{Chunk, Chunks};
use super::split::Split;

pub(super) struct Worker {
    handle: KeyspaceHandle,
    split: Split,
    bar: ProgressBar,
    /// Size of the last chunk for each shard: names, and bytes of names.
    last: Vec<(usize, usize)>,
}

/// Failure of a worker.
pub(super) struct Stopped {
    /// Number of the chunk that it failed at.
    pub(super) chunk: u64,
    pub(super) failure: Failure,
}

impl Worker {
    pub(super) fn new(handle: KeyspaceHandle, split: Split, bar: ProgressBar) -> Self {
        let last = vec![(0, 0); handle.shards()];
        Self { handle, split, bar, last }
    }

    /// Counts until there are no more chunks, or it is asked to stop.
    pub(super) async fn run(mut self, chunks: Chunks, mut stop: Stop) -> Result<(), Stopped> {
        loop {
            let chunk = tokio::select! {
                biased;
                _signal = stop.wait() => return Ok(()),
                chunk = chunks.recv() => match chunk {
                    Err(RecvError) => return Ok(()),
                    Ok(chunk) => chunk,
                },
            };
            let number = chunk.number;
            if let Err(failure) = self.count(chunk).await {
                // No worker is to take another chunk.
                chunks.close();
                return Err(Stopped { chunk: number, failure });
            }
        }
    }

    async fn count(&mut self, chunk: Chunk) -> Result<(), Failure> {
        let (number, bytes) = (chunk.number, chunk.piece.bytes.len() as u64);
        let folded = self.fold(chunk)?;
        self.last = folded.iter().map(Deltas::size).collect();
        self.handle.merge(folded).await?;
        self.bar.inc(bytes);
        debug!(chunk = number, bytes, "chunk counted");
        // So the shards apply it on this thread, while it is still in the cache.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Folds a chunk into the deltas of each shard.
    fn fold(&self, mut chunk: Chunk) -> Result<Vec<Deltas>, Failure> {
        let Self { handle, split, last, .. } = self;
        let mut folded: Vec<_> =
            last.iter().map(|&(names, bytes)| Deltas::with_capacity(names, bytes)).collect();
        let outcome = split.each(&mut chunk.piece, |bytes, len, amount| {
            let key = handle.key_within(bytes, len).expect("a split name is within the limit");
            folded[handle.shard_of(key)].add(key, amount.into());
        });
        match outcome {
            Ok(()) => Ok(folded),
            Err((line, bad)) => {
                let number = chunk.lines_before + line + 1;
                Err(Failure::Input(anyhow!("{}: line {number}: {bad}", chunk.source)))
            }
        }
    }
}
