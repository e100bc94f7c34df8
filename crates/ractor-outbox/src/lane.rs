//! The protocol between one sender and one actor. The model checker runs this file.
//!
//! A lane has at most one parcel in flight; its [`Phase`] says which. The parcel only refers to the lane, so items may
//! join it until the actor opens it, which takes the whole batch out. What the actor leaves of the batch comes back.

mod phase;

use std::any::Any;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::batch::Batch;
use crate::metrics::Metrics;
use crate::sync::{Mutex, lock};
use phase::{Flight, Phase};

/// Sends parcels to wherever the actor is now.
pub(crate) trait Carrier<B: Batch>: Send + Sync {
    /// Sends a parcel, without waiting. The lane is locked meanwhile.
    fn post(&self, parcel: Parcel<B>) -> Posted;

    /// Forgets a lane that is empty for good.
    fn forget(&self, lane: u64);
}

/// Outcome of posting a parcel.
pub(crate) struct Posted {
    /// The incarnation of the actor that it was sent to.
    pub(crate) outcome: Result<u64, PostError>,
    pub(crate) deferred: DeferredDrop,
}

/// Why a parcel could not be sent.
pub(crate) enum PostError {
    /// The actor may come back.
    Away,
    /// It will not.
    Gone,
}

/// A value to be dropped only after the lane is unlocked, because a parcel may be dropped with it, which locks the lane:
/// a message that could not be sent, or a reference to the actor, since the last one takes the mailbox with it.
pub(crate) type DeferredDrop = Box<dyn Any + Send>;

/// Why an item did not go in.
pub(crate) enum PushError<T> {
    Full(T),
    Closed(T),
}

/// One sender's side of an outbox.
pub(crate) struct Lane<B: Batch> {
    id: u64,
    inner: Mutex<Inner<B>>,
    carrier: Weak<dyn Carrier<B>>,
    /// Wakes the first of those who wait that there may be room.
    pub(crate) room: Notify,
    /// Keeps those who wait in order.
    pub(crate) queue: tokio::sync::Mutex<()>,
}

struct Inner<B> {
    batch: B,
    /// An item can join the batch without further ado: the lane is in flight, and nobody waits for room.
    fast_path: bool,
    phase: Phase,
    /// Ticket of the latest parcel.
    last_ticket: u64,
    /// The outbox was dropped.
    abandoned: bool,
    /// Batches that actors hold. What is left of them comes back.
    in_hand: usize,
    /// Senders that wait for room.
    waiters: usize,
    metrics: Metrics,
}

impl<B: Batch> Inner<B> {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.update_fast_path();
    }

    fn update_fast_path(&mut self) {
        self.fast_path = matches!(self.phase, Phase::InFlight(_)) && self.waiters == 0;
    }

    /// Nothing is inside, and nothing can come in or come back.
    fn is_finished(&self) -> bool {
        self.abandoned && self.in_hand == 0 && self.batch.is_empty()
    }
}

impl<B: Batch> Lane<B> {
    pub(crate) fn new(id: u64, empty: B, carrier: Weak<dyn Carrier<B>>) -> Self {
        let inner = Inner {
            batch: empty,
            fast_path: false,
            phase: Phase::Idle,
            last_ticket: 0,
            abandoned: false,
            in_hand: 0,
            waiters: 0,
            metrics: Metrics::default(),
        };
        let (room, queue) = (Notify::new(), tokio::sync::Mutex::new(()));
        Self { id, inner: Mutex::new(inner), carrier, room, queue }
    }

    /// Puts an item in, unless others wait for room before it.
    #[inline]
    pub(crate) fn push<'a>(self: &Arc<Self>, item: B::Item<'a>) -> Result<(), PushError<B::Item<'a>>> {
        let mut inner = lock(&self.inner);
        if inner.fast_path {
            inner.batch.push(item).map_err(PushError::Full)
        } else {
            drop(inner);
            self.push_slowly(item, false)
        }
    }

    /// Puts an item in for the first of those who wait.
    pub(crate) fn push_in_turn<'a>(
        self: &Arc<Self>,
        item: B::Item<'a>,
    ) -> Result<(), PushError<B::Item<'a>>> {
        self.push_slowly(item, true)
    }

    /// Posts a parcel first if none is in flight: if the actor is gone for good, the item has not been combined with
    /// others yet and can be given back.
    #[cold]
    fn push_slowly<'a>(
        self: &Arc<Self>,
        item: B::Item<'a>,
        in_turn: bool,
    ) -> Result<(), PushError<B::Item<'a>>> {
        self.locked(|inner, deferred| {
            if inner.phase == Phase::Idle {
                *deferred = Some(self.post(inner));
            }
            if inner.phase.is_closed() {
                Err(PushError::Closed(item))
            } else if inner.waiters > 0 && !in_turn {
                Err(PushError::Full(item))
            } else {
                inner.batch.push(item).map_err(PushError::Full)
            }
        })
    }

    /// Ensures that the contents are in flight to this incarnation of the actor or a later one. A parcel in flight to an
    /// earlier one becomes void.
    pub(crate) fn forward(self: &Arc<Self>, incarnation: u64) {
        self.locked(|inner, deferred| {
            if inner.phase.flight().is_some_and(|flight| flight.incarnation >= incarnation) {
                return;
            }
            inner.enter(inner.phase.landed());
            if !inner.batch.is_empty() {
                *deferred = Some(self.post(inner));
            }
        });
    }

    /// Refuses items from now on. What is inside is still delivered.
    pub(crate) fn close(&self) {
        {
            let mut inner = lock(&self.inner);
            let closed = inner.phase.closed();
            inner.enter(closed);
        }
        self.room.notify_one();
    }

    /// Records that the outbox was dropped: the carrier may forget the lane once it is empty for good.
    pub(crate) fn abandon(&self) {
        let finished = {
            let mut inner = lock(&self.inner);
            inner.abandoned = true;
            inner.is_finished()
        };
        if finished {
            self.forget();
        }
    }

    pub(crate) fn empty_batch(&self) -> B {
        lock(&self.inner).batch.empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.inner).phase.is_closed()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let inner = lock(&self.inner);
        Metrics { pending: inner.batch.len(), ..inner.metrics }
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Metrics)) {
        count(&mut lock(&self.inner).metrics);
    }

    /// Registers one more sender that waits for room, until the result is dropped.
    pub(crate) fn wait(&self) -> Waiter<'_, B> {
        let mut inner = lock(&self.inner);
        inner.waiters += 1;
        inner.update_fast_path();
        Waiter(self)
    }

    /// Locks the lane, and drops what is deferred only after unlocking it, also while a panic of the batch unwinds.
    fn locked<R>(&self, change: impl FnOnce(&mut Inner<B>, &mut Option<DeferredDrop>) -> R) -> R {
        // Declared before the guard, so it is dropped after it.
        let mut deferred = None;
        let mut inner = lock(&self.inner);
        change(&mut inner, &mut deferred)
    }

    /// Posts a parcel with the next ticket, which makes any earlier one void.
    #[must_use]
    fn post(self: &Arc<Self>, inner: &mut Inner<B>) -> DeferredDrop {
        inner.last_ticket += 1;
        let ticket = inner.last_ticket;
        let parcel = Parcel { lane: self.clone(), ticket };
        let carrier = self.carrier.upgrade();
        let Posted { outcome, deferred } = match &carrier {
            Some(carrier) => carrier.post(parcel),
            None => Posted { outcome: Err(PostError::Gone), deferred: Box::new(parcel) },
        };
        let phase = match outcome {
            Ok(incarnation) => {
                inner.metrics.parcels += 1;
                inner.phase.posted(Flight { ticket, incarnation })
            }
            Err(PostError::Away) => inner.phase.landed(),
            Err(PostError::Gone) => inner.phase.landed().closed(),
        };
        inner.enter(phase);
        Box::new((carrier, deferred))
    }

    fn forget(&self) {
        if let Some(carrier) = self.carrier.upgrade() {
            carrier.forget(self.id);
        }
    }
}

impl<B: Batch> Drop for Lane<B> {
    fn drop(&mut self) {
        let items = lock(&self.inner).batch.len();
        if items > 0 {
            tracing::warn!(items, "undelivered items dropped: their actor is gone");
        }
    }
}

/// A sender that waits for room.
pub(crate) struct Waiter<'a, B: Batch>(&'a Lane<B>);

impl<B: Batch> Drop for Waiter<'_, B> {
    fn drop(&mut self) {
        let mut inner = lock(&self.0.inner);
        inner.waiters -= 1;
        inner.update_fast_path();
    }
}

/// The message that an outbox sends: a reference to its contents as they are when the actor opens it.
///
/// A parcel that is dropped unopened, because its actor has died for instance, leaves everything in the outbox, and
/// the next item sends a new one.
pub struct Parcel<B: Batch> {
    lane: Arc<Lane<B>>,
    ticket: u64,
}

impl<B: Batch> Parcel<B> {
    /// Takes everything out of the outbox. `None` if a later parcel has taken this one's place, which happens when
    /// the outbox was redirected meanwhile.
    #[must_use]
    pub fn open(self) -> Option<OpenBatch<B>> {
        let mut inner = lock(&self.lane.inner);
        if !inner.phase.is_in_flight(self.ticket) {
            return None;
        }
        let empty = inner.batch.empty();
        let landed = inner.phase.landed();
        inner.enter(landed);
        inner.in_hand += 1;
        let batch = mem::replace(&mut inner.batch, empty);
        drop(inner);
        self.lane.room.notify_one();
        Some(OpenBatch { taken: batch.len(), batch: Some(batch), lane: self.lane.clone() })
    }
}

impl<B: Batch> Drop for Parcel<B> {
    fn drop(&mut self) {
        let mut inner = lock(&self.lane.inner);
        if inner.phase.is_in_flight(self.ticket) {
            let landed = inner.phase.landed();
            inner.enter(landed);
            drop(inner);
            // The first waiter tries again, and learns whether the actor is there.
            self.lane.room.notify_one();
        }
    }
}

impl<B: Batch> fmt::Debug for Parcel<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// Contents of a parcel. Empty it as you apply it: what is left when this is dropped, for instance because applying an
/// item panics or the actor is killed, goes back into the outbox and is delivered again. So does what you put in.
pub struct OpenBatch<B: Batch> {
    lane: Arc<Lane<B>>,
    /// There until this is dropped.
    batch: Option<B>,
    taken: u64,
}

impl<B: Batch> Deref for OpenBatch<B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.batch.as_ref().expect("the batch is there until this is dropped")
    }
}

impl<B: Batch> DerefMut for OpenBatch<B> {
    fn deref_mut(&mut self) -> &mut B {
        self.batch.as_mut().expect("the batch is there until this is dropped")
    }
}

impl<B: Batch> Drop for OpenBatch<B> {
    fn drop(&mut self) {
        let Some(rest) = self.batch.take() else { return };
        let left = rest.len();
        let finished = self.lane.locked(|inner, deferred| {
            inner.in_hand -= 1;
            // Whoever applies a batch may have put more in than was taken.
            inner.metrics.delivered += self.taken.saturating_sub(left);
            if left > 0 {
                inner.batch.put_back(rest);
                if inner.phase.flight().is_none() {
                    *deferred = Some(self.lane.post(inner));
                }
            }
            inner.is_finished()
        });
        if finished {
            self.lane.forget();
        }
    }
}

impl<B: Batch + fmt::Debug> fmt::Debug for OpenBatch<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenBatch").field("batch", &self.batch).finish_non_exhaustive()
    }
}

#[cfg(all(test, model))]
mod model;

#[cfg(all(test, not(model)))]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::Fifo;

    /// A way to an actor that dies just now: its mailbox takes the parcel, and nobody else refers to it any more.
    struct Dying;

    impl Carrier<Fifo<u8>> for Dying {
        fn post(&self, parcel: Parcel<Fifo<u8>>) -> Posted {
            Posted { outcome: Ok(0), deferred: Box::new(parcel) }
        }

        fn forget(&self, _lane: u64) {}
    }

    #[test]
    fn a_parcel_that_goes_with_the_last_reference_to_its_actor_finds_the_lane_unlocked() {
        let carrier = Arc::new(Dying);
        let weak: Weak<Dying> = Arc::downgrade(&carrier);
        let lane = Arc::new(Lane::new(0, Fifo::bounded(NonZeroUsize::MIN), weak));
        assert!(lane.push(1).is_ok());
        assert_eq!(lane.metrics().pending, 1);
        assert!(matches!(lane.push(2), Err(PushError::Full(2))));
        lane.forward(1);
    }
}
