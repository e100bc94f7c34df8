//! SIGINT and SIGTERM ask a command to end in order; a second signal ends the process at once.

use std::{fmt, io, process, thread};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT, as from Ctrl-C.
    Int,
    /// SIGTERM.
    Term,
}

impl Interrupt {
    /// Exit code of a process that this signal ends: 128 and the signal's number, as in a shell.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Int => 130,
            Self::Term => 143,
        }
    }
}

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "interrupted",
            Self::Term => "terminated",
        })
    }
}

/// Request that a command end, which comes with the first signal.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Interrupt>>);

impl Stop {
    /// Watches for both signals from now on, on a thread that no work of the command can hold up.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(context);
        let (sender, receiver) = watch::channel(None);
        thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                let mut next = async || {
                    tokio::select! {
                        _ = int.recv() => Interrupt::Int,
                        _ = term.recv() => Interrupt::Term,
                    }
                };
                let first = next().await;
                tracing::info!("told to stop; a second signal ends the process at once");
                sender.send_replace(Some(first));
                process::exit(next().await.exit_code().into())
            })
        })?;
        Ok(Self(receiver))
    }

    /// Creates a request that never comes, for tests.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(None).1)
    }

    /// Creates a request that has come already, for tests.
    #[must_use]
    pub fn requested_by(signal: Interrupt) -> Self {
        Self(watch::channel(Some(signal)).1)
    }

    /// Returns the signal that has come, if one has.
    #[must_use]
    pub fn requested(&self) -> Option<Interrupt> {
        *self.0.borrow()
    }

    /// Waits for a signal, for ever if none comes.
    pub async fn wait(&mut self) -> Interrupt {
        let signal = self.0.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        match signal {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_has_come_is_there_for_every_clone() {
        let mut stop = Stop::requested_by(Interrupt::Term);
        assert_eq!(stop.clone().requested(), Some(Interrupt::Term));
        assert_eq!((stop.clone().wait().await, stop.wait().await), (Interrupt::Term, Interrupt::Term));
    }

    #[tokio::test]
    async fn a_request_that_never_comes_is_waited_for() {
        let mut stop = Stop::never();
        assert_eq!(stop.requested(), None);
        tokio::select! {
            biased;
            signal = stop.wait() => panic!("{signal}"),
            () = tokio::task::yield_now() => {}
        }
    }
}
