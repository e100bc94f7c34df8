//! A thread that reads all sources, chunk by chunk.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow};
use async_channel::{Receiver, Sender};
use counter_cli::Failure;
use memchr::memchr_iter;

use super::chunk::{Chunker, Piece};
use super::source::Source;
use super::split::Part;

/// Maximum number of chunks that wait for a worker; then the reading thread waits.
const CHUNKS_AHEAD: usize = 6;

/// Chunks in order, received by whichever worker is free.
pub(super) type Chunks = Receiver<Chunk>;

/// A part of one source that can be counted by itself.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Index among the chunks of all sources.
    pub(super) number: u64,
    pub(super) source: Arc<Source>,
    /// Number of lines of the source that have ended before.
    pub(super) lines_before: u64,
    /// Number of lines that end in this chunk.
    pub(super) lines: u64,
    pub(super) piece: Piece,
}

/// Thread that reads. It ends by itself when no worker receives any more, or with the process while it waits for input.
#[derive(Debug)]
pub(super) struct Reader(JoinHandle<anyhow::Result<u64>>);

impl Reader {
    /// Starts to read. The channel ends with the last source or the first error.
    pub(super) fn start(sources: Vec<Source>, part: Part) -> (Self, Chunks) {
        let (sender, receiver) = async_channel::bounded(CHUNKS_AHEAD);
        (Self(thread::spawn(move || read(sources, part, &sender))), receiver)
    }

    /// Returns the number of lines that no newline ends. To be called after the channel has ended.
    ///
    /// # Errors
    /// [`Failure::Input`] if a source could not be read, [`Failure::Other`] if the thread has panicked.
    pub(super) fn join(self) -> Result<u64, Failure> {
        match self.0.join() {
            Ok(read) => read.map_err(Failure::Input),
            Err(_panic) => Err(Failure::Other(anyhow!("panic in the thread that reads"))),
        }
    }
}

fn read(sources: Vec<Source>, part: Part, chunks: &Sender<Chunk>) -> anyhow::Result<u64> {
    let (mut number, mut unended) = (0, 0);
    for source in sources.into_iter().map(Arc::new) {
        let input = source.open().with_context(|| format!("{source}"))?;
        let mut chunker = Chunker::new(input, part);
        let (mut lines_before, mut is_ended) = (0, true);
        while let Some(piece) = chunker.next(|| chunks.is_empty()).with_context(|| format!("{source}"))? {
            let lines = memchr_iter(b'\n', &piece.bytes).count() as u64;
            is_ended = piece.bytes.ends_with(b"\n");
            let chunk = Chunk { number, source: Arc::clone(&source), lines_before, lines, piece };
            (number, lines_before) = (number + 1, lines_before + lines);
            if chunks.send_blocking(chunk).is_err() {
                // No worker receives any more.
                return Ok(unended);
            }
        }
        unended += u64::from(!is_ended);
    }
    Ok(unended)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn chunk(bytes: &[u8]) -> Chunk {
        let piece = Piece { bytes: bytes.to_vec(), fields_before: 0 };
        Chunk { number: 0, source: Arc::new(Source::Stdin), lines_before: 0, lines: 1, piece }
    }

    #[test]
    fn a_panic_while_reading_is_a_failure() {
        let reader = Reader(thread::spawn(|| std::panic::resume_unwind(Box::new("on purpose"))));
        assert!(matches!(reader.join(), Err(Failure::Other(_))));
    }
}
