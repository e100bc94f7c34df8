//! The lock that the protocol runs on, and the model checker's in its place under `--cfg model`.
//!
//! It spins, because that takes one locked instruction where a lock that can sleep takes two, and this lock is most of
//! what an operation costs. It is held for a few nanoseconds, or for one cast, and wanted by two: the sender and the
//! actor. Who has spun for a while lets others run.

#[cfg(model)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

#[cfg(not(model))]
pub(crate) type Mutex<T> = spin::mutex::SpinMutex<T, spin::Yield>;
#[cfg(not(model))]
pub(crate) type MutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

/// Locks, also after a panic elsewhere: what is behind our locks is whole between any two of its statements.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(model)]
    return mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[cfg(not(model))]
    mutex.lock()
}
