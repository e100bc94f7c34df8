//! SIGINT and SIGTERM end a command in order: it stops taking work and prints what it has. A second signal ends the
//! process at once.

use std::{fmt, io, process, thread};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Int,
    Term,
}

impl Interrupt {
    /// 128 + the signal's number, as shells have it.
    pub(crate) const fn exit_code(self) -> u8 {
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

/// Knows whether the command has been asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Interrupt>>);

impl Stop {
    /// The signal that has come, if one has.
    pub(crate) fn requested(&self) -> Option<Interrupt> {
        *self.0.borrow()
    }

    /// Waits for a signal, for ever if none comes.
    pub(crate) async fn wait(&mut self) -> Interrupt {
        let signal = self.0.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        match signal {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Watches for both signals from now on, on a thread that no work of the command can hold up.
pub(crate) fn watch() -> io::Result<Stop> {
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
            sender.send_replace(Some(next().await));
            process::exit(next().await.exit_code().into())
        })
    })?;
    Ok(Stop(receiver))
}

/// A stop that nobody will request.
#[cfg(test)]
pub(crate) fn never() -> Stop {
    Stop(watch::channel(None).1)
}

/// A stop that was requested before.
#[cfg(test)]
pub(crate) fn requested(signal: Interrupt) -> Stop {
    Stop(watch::channel(Some(signal)).1)
}
