//! The lock that the protocol runs on, replaced by the model checker's under `--cfg model`.
//!
//! It is mostly held for a few nanoseconds, or for one cast, and wanted by two: the sender and the actor. So it is a
//! spin lock. Unlocking is a plain store, where a lock that wakes waiters takes a second locked instruction, and this
//! lock is most of what an operation costs. But it is also held while thousands of items are merged or put back, and
//! its holder may be preempted. So a waiter spins briefly, then yields, and then sleeps for ever longer intervals,
//! without being woken.

#[cfg(model)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

#[cfg(not(model))]
pub(crate) type Mutex<T> = spin::mutex::SpinMutex<T>;
#[cfg(not(model))]
pub(crate) type MutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

/// Locks, even after a panic elsewhere. The data behind our locks is consistent between any two statements.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(model)]
    return mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[cfg(not(model))]
    mutex.try_lock().unwrap_or_else(|| contended::lock(mutex))
}

#[cfg(not(model))]
mod contended {
    use std::thread;
    use std::time::Duration;

    use crossbeam_utils::Backoff;

    use super::{Mutex, MutexGuard};

    const FIRST_SLEEP: Duration = Duration::from_micros(50);
    const LONGEST_SLEEP: Duration = Duration::from_millis(1);

    #[cold]
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        let backoff = Backoff::new();
        let mut sleep = FIRST_SLEEP;
        loop {
            if let Some(guard) = mutex.try_lock() {
                return guard;
            }
            if backoff.is_completed() {
                // Nobody unparks this thread, which keeps unlocking cheap.
                thread::park_timeout(sleep);
                sleep = (2 * sleep).min(LONGEST_SLEEP);
            } else {
                backoff.snooze();
            }
        }
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    fn cpu_time() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("it is positive")
    }

    #[test]
    fn a_waiter_sleeps_while_the_holder_is_slow() {
        let held_for = Duration::from_millis(500);
        let mutex = Arc::new(Mutex::new(0));
        let guard = lock(&mutex);
        let waiter = thread::spawn({
            let mutex = Arc::clone(&mutex);
            move || {
                let before = cpu_time();
                *lock(&mutex) += 1;
                cpu_time() - before
            }
        });
        let (_never, held) = mpsc::channel::<()>();
        assert_eq!(held.recv_timeout(held_for), Err(mpsc::RecvTimeoutError::Timeout));
        drop(guard);
        assert!(waiter.join().unwrap() < held_for / 4);
        assert_eq!(*lock(&mutex), 1);
    }
}
