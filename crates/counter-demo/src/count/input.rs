//! Reads files and the standard input in chunks of whole lines, on a thread of its own.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::sync::mpsc;

/// How much is read at once, at most.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many chunks wait for the counting task; then the reading thread waits.
const CHUNKS_AHEAD: usize = 4;

/// Where lines come from. Its `Display` is what messages call it.
#[derive(Debug)]
pub(super) enum Source {
    Stdin,
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Source {
    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin().lock()),
            Self::File(path) => Box::new(File::open(path)?),
        })
    }
}

/// Whole lines of one source; only a source's last line may lack its newline.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) source: Arc<Source>,
    pub(super) bytes: Vec<u8>,
}

/// What the arguments name. A file that cannot be opened is an error now, not after the files before it.
pub(super) fn sources(files: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    if files.is_empty() {
        return Ok(vec![Source::Stdin]);
    }
    let source = |path: &PathBuf| {
        if path.as_os_str() == "-" {
            return Ok(Source::Stdin);
        }
        let file = File::open(path).with_context(|| format!("{}", path.display()))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(anyhow!("{}: expected a file, this is a directory", path.display()));
        }
        Ok(Source::File(path.clone()))
    };
    files.iter().map(source).collect()
}

/// The size of all sources together, if all are regular files.
pub(super) fn total_bytes(sources: &[Source]) -> Option<u64> {
    let size = |source: &Source| match source {
        Source::Stdin => None,
        Source::File(path) => path.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len()),
    };
    sources.iter().map(size).sum()
}

/// Starts reading. The channel ends after the last source or the first error.
///
/// The thread ends by itself when the receiver is dropped, or with the process while it waits for input.
pub(super) fn read(sources: Vec<Source>) -> mpsc::Receiver<anyhow::Result<Chunk>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        for source in sources.into_iter().map(Arc::new) {
            let read = source
                .open()
                .and_then(|input| read_chunks(input, |bytes| send(&sender, &source, bytes)))
                .with_context(|| format!("{source}"));
            if let Err(error) = read {
                // An error here means that nobody counts any more.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    });
    receiver
}

fn send(
    sender: &mpsc::Sender<anyhow::Result<Chunk>>,
    source: &Arc<Source>,
    bytes: Vec<u8>,
) -> io::Result<()> {
    let chunk = Chunk { source: source.clone(), bytes };
    sender.blocking_send(Ok(chunk)).map_err(|_| io::Error::other("nobody counts any more"))
}

/// Hands on whole lines as soon as they are there, so that a slow writer's lines are not held back.
fn read_chunks(input: impl Read, mut hand_on: impl FnMut(Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let mut input = BufReader::with_capacity(CHUNK_BYTES, input);
    let mut pending = Vec::new();
    loop {
        let read = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read.is_empty() {
            return if pending.is_empty() { Ok(()) } else { hand_on(pending) };
        }
        let newline = read.iter().rposition(|&byte| byte == b'\n');
        // A line that is too long is handed on as it is: the counting task knows its number and says so.
        let too_long = pending.len() + read.len() > CHUNK_BYTES;
        let whole = newline.map_or(if too_long { read.len() } else { 0 }, |at| at + 1);
        pending.extend_from_slice(&read[..whole]);
        if whole > 0 {
            hand_on(mem::take(&mut pending))?;
        }
        pending.extend_from_slice(&read[whole..]);
        let consumed = read.len();
        input.consume(consumed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads at most so many bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn chunks(bytes: &[u8], at_a_time: usize) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        read_chunks(Trickle(bytes, at_a_time), |chunk| {
            chunks.push(chunk);
            Ok(())
        })
        .unwrap();
        chunks
    }

    proptest! {
        #[test]
        fn chunks_are_whole_lines_and_all_of_the_input(
            lines in prop::collection::vec("[a-c]{0,5}", 0..50), ended: bool, at_a_time in 1..20_usize,
        ) {
            let mut bytes = lines.join("\n").into_bytes();
            if ended {
                bytes.push(b'\n');
            }
            let chunks = chunks(&bytes, at_a_time);
            prop_assert_eq!(chunks.concat(), bytes);
            for chunk in chunks.iter().rev().skip(1) {
                prop_assert_eq!(chunk.last(), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn lines_are_handed_on_as_soon_as_they_are_whole() {
        assert_eq!(chunks(b"a\nbc\nd", 3), [&b"a\n"[..], b"bc\n", b"d"]);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let longest = chunks(&vec![b'x'; 10 * CHUNK_BYTES], 1_000).iter().map(Vec::len).max();
        assert!(longest.is_some_and(|bytes| bytes < 2 * CHUNK_BYTES));
    }
}
