use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::warn;

/// Time after which a wait for a lease is logged.
const WARN_AFTER: Duration = Duration::from_secs(1);

/// Slot for a value while no actor holds it. Clones are the same slot.
#[derive(Debug)]
pub struct StateSlot<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    /// Value of the slot. Locked only while it is moved in or out.
    value: Mutex<Option<T>>,
    back: Notify,
}

impl<T> StateSlot<T> {
    /// Creates a slot with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared { value: Mutex::new(Some(value)), back: Notify::new() }))
    }

    /// Takes the value, and waits until it is returned if it is leased already.
    ///
    /// An actor that was stopped or killed leaves its state in the supervision event of its end. Drop that event
    /// before waiting here.
    ///
    /// A value that is still leased after a second causes a warning, because the lease may have been leaked.
    pub async fn lease(&self) -> Lease<T> {
        let lease = async {
            loop {
                match self.try_lease() {
                    Some(lease) => return lease,
                    None => self.0.back.notified().await,
                }
            }
        };
        tokio::pin!(lease);
        match timeout(WARN_AFTER, &mut lease).await {
            Ok(lease) => lease,
            Err(_) => {
                let state = std::any::type_name::<T>();
                warn!(state, "lease still held elsewhere after {WARN_AFTER:?}; waiting for its return");
                lease.await
            }
        }
    }

    /// Takes the value, unless it is leased already.
    #[must_use]
    pub fn try_lease(&self) -> Option<Lease<T>> {
        let value = self.0.value.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Lease { value: Some(value), slot: Arc::clone(&self.0) })
    }
}

impl<T> Clone for StateSlot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Exclusive use of a value. The value returns to its [`StateSlot`] when this is dropped, also while a panic unwinds.
#[derive(Debug)]
pub struct Lease<T> {
    /// `Some` until this is dropped.
    value: Option<T>,
    slot: Arc<Shared<T>>,
}

impl<T> From<T> for Lease<T> {
    /// Creates a lease without a slot: the value is dropped with it.
    fn from(value: T) -> Self {
        Self { value: Some(value), slot: Arc::new(Shared { value: Mutex::new(None), back: Notify::new() }) }
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value is there until this is dropped")
    }
}

impl<T> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("the value is there until this is dropped")
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        *self.slot.value.lock().unwrap_or_else(PoisonError::into_inner) = self.value.take();
        self.slot.back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_gets_the_value_as_it_was_left() {
        let slot = StateSlot::new(1);
        let mut lease = slot.lease().await;
        assert!(slot.try_lease().is_none());
        let waiting = tokio::spawn({
            let slot = slot.clone();
            async move { *slot.lease().await }
        });
        tokio::task::yield_now().await;
        *lease += 1;
        drop(lease);
        assert_eq!(waiting.await.unwrap(), 2);
    }

    #[test]
    fn a_panic_returns_the_value() {
        let slot = StateSlot::new(vec![1]);
        let mut lease = slot.try_lease().unwrap();
        let crash = std::panic::AssertUnwindSafe(move || {
            lease.push(2);
            panic!("on purpose");
        });
        assert!(std::panic::catch_unwind(crash).is_err());
        assert_eq!(*slot.try_lease().unwrap(), [1, 2]);
    }
}
