//! Reads files and the standard input in chunks of whole lines, on a thread of its own.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow};
use async_channel::{Receiver, Sender};
use memchr::{memchr_iter, memrchr};

use super::decode::decode;
use crate::exit::Failure;

/// How much is read at once, and how long a chunk gets while all workers are busy.
const CHUNK_BYTES: usize = 1024 * 1024;

/// How many chunks wait for a worker; then the reading thread waits.
const CHUNKS_AHEAD: usize = 6;

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
        match self {
            // Not `io::stdin`, whose buffer is small and would be copied.
            Self::Stdin => decode(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
            Self::File(path) => decode(File::open(path)?),
        }
    }
}

/// Whole lines of one source; only a source's last line may lack its newline.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Counts the chunks of all sources.
    pub(super) number: u64,
    pub(super) source: Arc<Source>,
    /// How many lines of the source come before.
    pub(super) lines_before: u64,
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

/// The thread that reads. It ends by itself when nobody receives any more, or with the process while it waits for input.
#[derive(Debug)]
pub(super) struct Reader(JoinHandle<anyhow::Result<()>>);

impl Reader {
    /// Starts to read. The channel ends with the last source or the first error.
    pub(super) fn start(sources: Vec<Source>) -> (Self, Receiver<Chunk>) {
        let (sender, receiver) = async_channel::bounded(CHUNKS_AHEAD);
        (Self(thread::spawn(move || read(sources, &sender))), receiver)
    }

    /// Tells how reading has ended. To be called behind the end of the channel.
    ///
    /// # Errors
    /// What kept it from reading all.
    pub(super) fn join(self) -> Result<(), Failure> {
        match self.0.join() {
            Ok(read) => read.map_err(Failure::Input),
            Err(_panic) => Err(Failure::Other(anyhow!("the thread that reads has panicked"))),
        }
    }
}

fn read(sources: Vec<Source>, chunks: &Sender<Chunk>) -> anyhow::Result<()> {
    let mut number = 0;
    for source in sources.into_iter().map(Arc::new) {
        let mut lines_before = 0;
        let hand_on = |bytes: Vec<u8>| {
            let lines = memchr_iter(b'\n', &bytes).count() as u64;
            let chunk = Chunk { number, source: Arc::clone(&source), lines_before, bytes };
            (number, lines_before) = (number + 1, lines_before + lines);
            chunks.send_blocking(chunk).map_err(|_| io::Error::other("nobody counts any more"))
        };
        let somebody_waits = || chunks.is_empty();
        let read = source.open().and_then(|input| read_chunks(input, somebody_waits, hand_on));
        read.with_context(|| format!("{source}"))?;
    }
    Ok(())
}

/// Hands whole lines on as soon as somebody waits for them; until then the chunk grows. So a slow writer's lines are
/// not held back, and a fast one's make large chunks.
fn read_chunks(
    mut input: impl Read,
    somebody_waits: impl Fn() -> bool,
    mut hand_on: impl FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut pending = Vec::new();
    loop {
        let begun = pending.len();
        pending.resize(begun + CHUNK_BYTES, 0);
        let read = match input.read(&mut pending[begun..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                pending.truncate(begun);
                continue;
            }
            other => other?,
        };
        pending.truncate(begun + read);
        if read == 0 {
            return if pending.is_empty() { Ok(()) } else { hand_on(pending) };
        }
        if pending.len() < CHUNK_BYTES && !somebody_waits() {
            continue;
        }
        let whole = match memrchr(b'\n', &pending) {
            Some(newline) => newline + 1,
            // A line that is too long is handed on as it is: the worker knows its number and says so.
            None if pending.len() > CHUNK_BYTES => pending.len(),
            None => continue,
        };
        let rest = pending[whole..].to_vec();
        pending.truncate(whole);
        hand_on(mem::replace(&mut pending, rest))?;
    }
}

#[cfg(test)]
pub(super) mod tests {
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

    pub(in super::super) fn chunk(bytes: &[u8]) -> Chunk {
        Chunk { number: 0, source: Arc::new(Source::Stdin), lines_before: 0, bytes: bytes.to_vec() }
    }

    fn chunks(bytes: &[u8], at_a_time: usize, somebody_waits: bool) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let hand_on = |chunk| {
            chunks.push(chunk);
            Ok(())
        };
        read_chunks(Trickle(bytes, at_a_time), || somebody_waits, hand_on).unwrap();
        chunks
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn chunks_are_whole_lines_and_all_of_the_input(
            lines in prop::collection::vec("[a-c]{0,5}", 0..20),
            ended: bool,
            at_a_time in 8..20_usize,
            somebody_waits: bool,
        ) {
            let mut bytes = lines.join("\n").into_bytes();
            if ended {
                bytes.push(b'\n');
            }
            let chunks = chunks(&bytes, at_a_time, somebody_waits);
            prop_assert_eq!(chunks.concat(), bytes);
            for chunk in chunks.iter().rev().skip(1) {
                prop_assert_eq!(chunk.last(), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn lines_are_handed_on_as_soon_as_somebody_waits_for_them() {
        assert_eq!(chunks(b"a\nbc\nd", 3, true), [&b"a\n"[..], b"bc\n", b"d"]);
        assert_eq!(chunks(b"a\nbc\nd", 3, false), [&b"a\nbc\nd"[..]]);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let bytes = vec![b'x'; 3 * CHUNK_BYTES];
        let longest = chunks(&bytes, CHUNK_BYTES / 2, true).iter().map(Vec::len).max();
        assert!(longest.is_some_and(|bytes| bytes < 2 * CHUNK_BYTES + 1));
    }

    #[test]
    fn a_panic_while_reading_is_a_failure() {
        let reader = Reader(thread::spawn(|| std::panic::resume_unwind(Box::new("on purpose"))));
        assert!(matches!(reader.join(), Err(Failure::Other(_))));
    }
}
