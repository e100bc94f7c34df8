//! Standard error, written by a thread of its own: a reader who is stuck holds up nobody.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// Maximum number of lines that wait to be written; further ones are dropped.
const LINES_AHEAD: usize = 16 * 1024;

/// Time that a reader has for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "clap would take them for the description of the program that flattens this")]
pub struct LogArguments {
    /// Format of log lines on standard error. RUST_LOG selects the lines; by default, they are warnings.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", display_order = 900)]
    pub log: LogFormat,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, coloured on a terminal unless NO_COLOR is set.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Standard error of the process.
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

    /// Receives what the program logs from now on.
    pub(crate) fn subscribe(
        &self,
        LogArguments { log: format }: LogArguments,
        default_filter: &str,
    ) -> Result<(), Failure> {
        let filter = match env::var_os(EnvFilter::DEFAULT_ENV) {
            Some(filter) if !filter.is_empty() => EnvFilter::try_from_default_env(),
            _ => EnvFilter::try_new(default_filter).map_err(Into::into),
        };
        let filter = filter.context("cannot read RUST_LOG; try RUST_LOG=info").map_err(Failure::Input)?;
        let is_coloured = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(self.lines.clone())
            .with_ansi(is_coloured);
        match format {
            LogFormat::Text => logs.init(),
            LogFormat::Json => logs.json().init(),
        }
        Ok(())
    }

    /// Writes text behind what has been logged.
    pub(crate) fn write(&mut self, text: &str) {
        // It is never an error: what finds no room is dropped.
        let _ = self.lines.write_all(text.as_bytes());
    }

    /// Waits up to [`LAST_LINES`] until all lines are written.
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
