//! How a command ends, and the exit code and the line on standard error for it.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use aggregator_actor::AggregatorError;
use anyhow::anyhow;
use counter_actor::CounterError;
use counter_keyspace::KeyspaceError;
use counter_system::SystemError;
use ractor_supervision::SupervisorError;

use crate::signals::Interrupt;

/// A command that did what it could.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All of it.
    Complete,
    /// What there was until a signal came. The text says how much that is.
    Partial(Interrupt, String),
}

/// A command that has no result, or a wrong one.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the user gave cannot be worked with.
    Input(anyhow::Error),
    /// A signal came while the result was being written.
    Unwritten(Interrupt),
    /// Whoever reads the output has gone: not worth a word.
    ClosedPipe,
    /// Anything else.
    Other(anyhow::Error),
}

impl From<io::Error> for Failure {
    /// For the standard output: input errors are made into `Failure::Input` where they occur.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Other(anyhow::Error::new(error).context("failed to write the result")),
        }
    }
}

macro_rules! failed_to {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                failed_to(error)
            }
        })*
    };
}

failed_to!(AggregatorError, CounterError, KeyspaceError, SupervisorError, SystemError);

/// The libraries' errors complete this sentence.
fn failed_to(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Other(anyhow!("failed to {:#}", anyhow::Error::new(error)))
}

#[expect(clippy::print_stderr, reason = "this is the one place that speaks to the user about failures")]
pub(crate) fn report(outcome: Result<Ended, Failure>) -> ExitCode {
    let (code, line) = match outcome {
        Ok(Ended::Complete) | Err(Failure::ClosedPipe) => return ExitCode::SUCCESS,
        Ok(Ended::Partial(signal, how_much)) => (signal.exit_code(), format!("{signal}: {how_much}")),
        Err(Failure::Unwritten(signal)) => {
            (signal.exit_code(), format!("{signal}: not all of the result is written"))
        }
        Err(Failure::Other(error)) => (1, format!("{error:#}")),
        Err(Failure::Input(error)) => (2, format!("{error:#}")),
    };
    eprintln!("counter-demo: {line}");
    ExitCode::from(code)
}
