//! The lock that the protocol runs on: the standard library's, or the model checker's under `--cfg model`.

#[cfg(model)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(model))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, also after a panic elsewhere: what is behind our locks is whole between any two of its statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
