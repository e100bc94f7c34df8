//! The frame of a command line program: logs on standard error, signals, exit codes, and parsers of arguments.
//!
//! A program parses its arguments and calls [`run`] with one future, its command. The future gets a [`Stop`], which
//! tells it of SIGINT and SIGTERM, and returns a [`Completion`] or a [`Failure`], which become an exit code and at most
//! one line on standard error:
//!
//! | outcome | exit code | line |
//! |---|---|---|
//! | [`Completion::Complete`], [`Failure::ClosedPipe`] | 0 | none |
//! | [`Failure::Other`] | 1 | the error with its causes |
//! | [`Failure::Input`], and arguments that clap refuses | 2 | the error with its causes |
//! | [`Completion::Partial`], [`Failure::Unwritten`], and a second signal | 130 (SIGINT) or 143 (SIGTERM) | the signal, and how much is done |
//!
//! It knows nothing of counters, and prints nothing on standard output.

mod exit;
mod log;
pub mod parse;
mod signals;

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::process::ExitCode;

use tokio::runtime::Builder;

pub use crate::exit::{Completion, Failure};
pub use crate::log::{LogArguments, LogFormat};
pub use crate::signals::{Interrupt, Stop};

use crate::log::Log;

/// Identity of a program and its log settings.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name that its failures begin with.
    pub name: &'static str,
    /// Log filter where `RUST_LOG` is not set, in the syntax of `RUST_LOG`.
    pub default_filter: &'static str,
    /// Log settings from the command line.
    pub log: LogArguments,
    /// Number of worker threads. By default one for each core.
    pub threads: Option<NonZeroUsize>,
}

/// Runs a command on a multi-threaded runtime, reports how it ended, and returns the exit code.
///
/// It does not wait for threads that block, as those that read standard input may: they end with the process.
///
/// # Panics
/// If the command panics.
pub fn run<C>(program: Program, command: impl FnOnce(Stop) -> C) -> ExitCode
where
    C: Future<Output = Result<Completion, Failure>> + Send + 'static,
{
    let mut log = Log::start();
    let outcome =
        log.subscribe(program.log, program.default_filter).and_then(|()| execute(program.threads, command));
    let (code, line) = exit::report(outcome);
    if let Some(line) = line {
        log.write(&format!("{}: {line}\n", program.name));
    }
    log.finish();
    ExitCode::from(code)
}

fn execute<C>(threads: Option<NonZeroUsize>, command: impl FnOnce(Stop) -> C) -> Result<Completion, Failure>
where
    C: Future<Output = Result<Completion, Failure>> + Send + 'static,
{
    let stop = Stop::on_signals()?;
    let mut builder = Builder::new_multi_thread();
    threads.map(|threads| builder.worker_threads(threads.get()));
    let runtime = builder.enable_all().build()?;
    // On a worker thread, because messages from outside of the workers take a slower way.
    let outcome = runtime.block_on(runtime.spawn(command(stop)));
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}
