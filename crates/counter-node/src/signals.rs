//! SIGINT and SIGTERM: the first asks the process to stop in order, the second ends it at once.

use std::{io, process, thread};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Exit code of a process that SIGINT ends: 128 and the signal's number, as in a shell.
const ENDED_BY_INT: i32 = 130;

/// Exit code of a process that SIGTERM ends.
const ENDED_BY_TERM: i32 = 143;

/// Watches for both signals on a thread that no work of the process can hold up. The future is ready at the first.
pub(crate) fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let context = runtime.enter();
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(context);
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            let mut next = async || {
                tokio::select! {
                    _ = int.recv() => ENDED_BY_INT,
                    _ = term.recv() => ENDED_BY_TERM,
                }
            };
            next().await;
            tracing::info!("told to stop; a second signal ends the process at once");
            let _ = tell.send(());
            process::exit(next().await)
        })
    })?;
    Ok(async {
        let _ = told.await;
    })
}
