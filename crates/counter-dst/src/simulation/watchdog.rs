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

/// Number of looks in a row that find the same instant if time stands still. One may come right behind a pause of the
/// process.
const LOOKS: u32 = 3;

/// Looks at a runtime with paused time, from a thread of its own, until it is dropped.
pub(super) struct Watchdog {
    stalled: Arc<Notify>,
    _is_over: SyncSender<()>,
}

/// Earlier looks. Pure.
struct Looks {
    at: Instant,
    number: u32,
}

impl Watchdog {
    /// Begins to look at the present runtime.
    pub(super) fn begin(look_every: Duration) -> Self {
        let (is_over, over) = mpsc::sync_channel::<()>(0);
        let (stalled, runtime) = (Arc::new(Notify::new()), Handle::current());
        let notify = Arc::clone(&stalled);
        thread::spawn(move || {
            let _time = runtime.enter();
            let mut looks = Looks::begin(Instant::now());
            while over.recv_timeout(look_every) == Err(RecvTimeoutError::Timeout) {
                if looks.find_stalled(Instant::now()) {
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

impl Looks {
    const fn begin(at: Instant) -> Self {
        Self { at, number: 1 }
    }

    /// Notes another look, and returns true if time stands still.
    fn find_stalled(&mut self, now: Instant) -> bool {
        self.number = if now == self.at { self.number + 1 } else { 1 };
        self.at = now;
        self.number >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_at_one_instant_is_noticed() {
        let watchdog = Watchdog::begin(Duration::from_millis(10));
        let looping = tokio::spawn(async {
            loop {
                yield_now().await;
            }
        });
        watchdog.stalled().await;
        looping.abort();
    }

    #[test]
    fn time_that_has_passed_since_one_of_the_last_looks_goes_on() {
        let (begun, step) = (Instant::now(), Duration::from_millis(1));
        let mut looks = Looks::begin(begun);
        assert!(!looks.find_stalled(begun));
        assert!(!looks.find_stalled(begun + step));
        assert!(!looks.find_stalled(begun + step));
        assert!(looks.find_stalled(begun + step));
    }
}
