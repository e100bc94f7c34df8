//! The standard error, written by a thread of its own: a reader who is stuck holds up nobody.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise: `ractor_cluster` warns of each connection that ends, and the node
/// knows.
const QUIET: &str = "warn,ractor_cluster=error";

/// Lines that wait to be written, at most; further ones are dropped.
const LINES_AHEAD: usize = 16 * 1024;

/// Time that a reader has for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Where everything for the standard error goes.
pub(crate) struct Log {
    lines: NonBlocking,
    thread: WorkerGuard,
}

impl Log {
    pub(crate) fn start() -> Self {
        let queue = NonBlockingBuilder::default().buffered_lines_limit(LINES_AHEAD);
        let (lines, thread) = queue.finish(io::stderr());
        Self { lines, thread }
    }

    /// Receives what the program logs.
    pub(crate) fn subscribe(&self) -> anyhow::Result<()> {
        let filter = match std::env::var_os(EnvFilter::DEFAULT_ENV) {
            Some(_) => EnvFilter::try_from_default_env(),
            None => EnvFilter::try_new(QUIET).map_err(Into::into),
        };
        tracing_subscriber::fmt()
            .with_env_filter(filter.context("cannot read RUST_LOG; try RUST_LOG=info")?)
            .with_writer(self.lines.clone())
            .with_ansi(io::stderr().is_terminal())
            .init();
        Ok(())
    }

    /// Writes text behind what has been logged.
    pub(crate) fn write(&mut self, text: &str) {
        // It is never an error: what finds no room is dropped.
        let _ = self.lines.write_all(text.as_bytes());
    }

    /// Waits a moment until all is written, if somebody reads it.
    pub(crate) fn finish(self) {
        let (running, ended) = mpsc::channel::<Infallible>();
        // The guard waits for a second, but prints if it cannot even begin to, and so may be stuck itself.
        thread::spawn(move || {
            drop(self.thread);
            drop(running);
        });
        let _ = ended.recv_timeout(LAST_LINES);
    }
}
