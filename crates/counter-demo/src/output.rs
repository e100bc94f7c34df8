//! Standard output, which may be a pipe that nobody reads: a command ends nevertheless.

use counter_cli::{Failure, Interrupt, Stop};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time that a reader has to read some of the output after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);

/// Maximum size of a write: the capacity of a pipe, so that each write shows that somebody reads.
const WRITE_BYTES: usize = 64 * 1024;

/// Standard output of a command that may be asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    file: Arc<File>,
    stop: Stop,
    /// Number of writes that have ended.
    writes: Arc<AtomicU64>,
}

/// Buffered standard output.
pub(crate) type Out = BufWriter<Output>;

impl Output {
    pub(crate) fn new(stop: &Stop) -> io::Result<Self> {
        // Not `io::stdout`, which looks for newlines and holds back what follows them.
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file: Arc::new(file), stop: stop.clone(), writes: Arc::default() })
    }

    /// Runs `write` on a thread of its own, and gives up after SIGTERM when nobody reads.
    pub(crate) async fn write(
        &self,
        write: impl FnOnce(&mut Out) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        self.write_until(self.stalled(), write).await
    }

    /// Runs `write` on a thread of its own to write a complete result, and gives up at the next signal.
    pub(crate) async fn write_complete(
        &self,
        write: impl FnOnce(&mut Out) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        self.write_until(self.stop.clone().wait(), write).await
    }

    async fn write_until(
        &self,
        given_up: impl Future<Output = Interrupt>,
        write: impl FnOnce(&mut Out) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(WRITE_BYTES, self.clone());
        let written = tokio::task::spawn_blocking(move || {
            write(&mut out)?;
            out.flush()
        });
        tokio::select! {
            written = written => written.expect("writing does not panic").map_err(Failure::output),
            signal = given_up => Err(Failure::Unwritten(signal)),
        }
    }

    /// Waits for SIGTERM, and then until no write ends for a while.
    async fn stalled(&self) -> Interrupt {
        loop {
            match self.stop.clone().wait().await {
                // A person at a terminal may be reading slowly; the second SIGINT ends the process.
                Interrupt::Int => std::future::pending().await,
                Interrupt::Term => {}
            }
            let before = self.writes.load(Ordering::Relaxed);
            tokio::time::sleep(PATIENCE).await;
            if self.writes.load(Ordering::Relaxed) == before {
                return Interrupt::Term;
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.file).write(&bytes[..bytes.len().min(WRITE_BYTES)]);
        self.writes.fetch_add(1, Ordering::Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
