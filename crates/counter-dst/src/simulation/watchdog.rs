//! Notices that simulated time stands still: tasks that wake each other, or themselves, without end.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Real time between two looks. Everything that happens at one instant takes a few milliseconds.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Number of looks at the same instant that mean a loop. One may be right behind a pause of the process.
const LOOKS: u32 = 2;

/// Looks at a runtime with paused time, from a thread of its own, until it is dropped.
pub(super) struct Watchdog {
    stalled: Arc<Notify>,
    _is_over: SyncSender<()>,
}

impl Watchdog {
    /// Begins to look at the present runtime.
    pub(super) fn begin(look_every: Duration) -> Self {
        let (is_over, over) = mpsc::sync_channel::<()>(0);
        let (stalled, runtime) = (Arc::new(Notify::new()), Handle::current());
        let notify = Arc::clone(&stalled);
        thread::spawn(move || {
            let _time = runtime.enter();
            let (mut looks, mut before) = (0, Instant::now());
            while over.recv_timeout(look_every) == Err(RecvTimeoutError::Timeout) {
                let now = Instant::now();
                looks = if now == before { looks + 1 } else { 0 };
                before = now;
                if looks == LOOKS {
                    notify.notify_one();
                    return;
                }
            }
        });
        Self { stalled, _is_over: is_over }
    }

    /// Waits until time stands still.
    pub(super) async fn stalled(&self) {
        self.stalled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::*;

    /// Real time.
    const OFTEN: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn a_loop_at_one_instant_is_noticed() {
        let watchdog = Watchdog::begin(OFTEN);
        let looping = tokio::spawn(async {
            loop {
                yield_now().await;
            }
        });
        watchdog.stalled().await;
        looping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_is_none() {
        let watchdog = Watchdog::begin(OFTEN);
        let real = thread::spawn(|| thread::park_timeout(10 * OFTEN));
        while !real.is_finished() {
            tokio::select! {
                biased;
                () = watchdog.stalled() => panic!("time passes"),
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
    }
}
