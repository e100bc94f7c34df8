use std::io::{self, ErrorKind};

use crate::signals::Interrupt;

/// Exit code of a command that has failed.
const FAILED: u8 = 1;

/// Exit code of a command whose arguments or input cannot be used.
const BAD_INPUT: u8 = 2;

/// End of a command that did what it could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Complete result.
    Complete,
    /// Partial result because of a signal. The text describes how much is done.
    Partial(Interrupt, String),
}

/// End of a command without a result, or with a wrong one.
#[derive(Debug)]
pub enum Failure {
    /// Arguments or input that cannot be used.
    Input(anyhow::Error),
    /// Signal that came while the result was being written.
    Unwritten(Interrupt),
    /// Standard output whose reader has gone, which is not reported.
    ClosedPipe,
    /// Any other error.
    Other(anyhow::Error),
}

impl Failure {
    /// Converts an error of arguments or input.
    pub fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::Input(error.into())
    }

    /// Converts an error of writing the result to standard output.
    #[must_use]
    pub fn output(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Other(anyhow::Error::new(error).context("failed to write the result")),
        }
    }
}

/// Every error is [`Failure::Other`], unless it is converted where it occurs.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Exit code of an outcome, and the line that reports it.
pub(crate) fn report(outcome: Result<Completion, Failure>) -> (u8, Option<String>) {
    match outcome {
        Ok(Completion::Complete) | Err(Failure::ClosedPipe) => (0, None),
        Ok(Completion::Partial(signal, progress)) => {
            (signal.exit_code(), Some(format!("{signal}: {progress}")))
        }
        Err(Failure::Unwritten(signal)) => {
            (signal.exit_code(), Some(format!("{signal}: not all of the result is written")))
        }
        Err(Failure::Other(error)) => (FAILED, Some(format!("{error:#}"))),
        Err(Failure::Input(error)) => (BAD_INPUT, Some(format!("{error:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_reported_in_one_line_with_its_causes() {
        let error = || anyhow!("no such file").context("words.txt");
        let line = Some("words.txt: no such file".to_owned());
        assert_eq!(report(Err(error().into())), (1, line.clone()));
        assert_eq!(report(Err(Failure::input(error()))), (2, line));
    }

    #[test]
    fn a_signal_decides_the_exit_code_of_a_partial_result() {
        let partial = |signal| report(Ok(Completion::Partial(signal, "3 of 5".into())));
        assert_eq!(partial(Interrupt::Int), (130, Some("interrupted: 3 of 5".into())));
        assert_eq!(partial(Interrupt::Term), (143, Some("terminated: 3 of 5".into())));
        let unwritten = "interrupted: not all of the result is written";
        assert_eq!(report(Err(Failure::Unwritten(Interrupt::Int))), (130, Some(unwritten.into())));
    }

    #[test]
    fn a_reader_who_has_gone_is_no_failure_and_a_full_disk_is_one() {
        let failure = |kind: ErrorKind| report(Err(Failure::output(kind.into())));
        assert_eq!(failure(ErrorKind::BrokenPipe), report(Ok(Completion::Complete)));
        let (code, line) = failure(ErrorKind::StorageFull);
        assert_eq!(code, 1);
        assert!(line.is_some_and(|line| line.starts_with("failed to write the result: ")));
    }
}
