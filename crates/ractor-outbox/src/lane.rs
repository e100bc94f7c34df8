//! The protocol between one sender and one actor. The model checker runs this file.
//!
//! A lane has at most one parcel in flight; its [`Phase`] tells which. The parcel only refers to the lane, so items
//! may join it until the actor opens it, which takes the whole batch out. Items that the actor leaves in the batch
//! return to the lane.

mod phase;

use std::any::Any;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use mutations::Mutation;
use tokio::sync::Notify;

use crate::batch::Batch;
use crate::metrics::Metrics;
use crate::sync::{Mutex, lock};
use phase::{Flight, Phase};

/// Transport of parcels to the actor's current incarnation.
pub(crate) trait Carrier<B: Batch>: Send + Sync {
    /// Sends a parcel, without waiting. The lane is locked meanwhile.
    fn post(&self, parcel: Parcel<B>) -> Posted;

    /// Forgets a lane that is empty for good.
    fn forget(&self, lane: u64);
}

/// Outcome of posting a parcel.
pub(crate) struct Posted {
    /// Incarnation of the actor that the parcel was sent to.
    pub(crate) outcome: Result<u64, PostError>,
    pub(crate) deferred: DeferredDrop,
}

/// Reason why a parcel could not be sent.
pub(crate) enum PostError {
    /// The actor may come back.
    Away,
    /// The actor will not come back.
    Gone,
}

/// Value that must be dropped only after the lane is unlocked, because a parcel may be dropped with it, which locks
/// the lane. It is a message that could not be sent, or a reference to the actor: the last reference takes the
/// mailbox with it.
pub(crate) type DeferredDrop = Box<dyn Any + Send>;

/// References to drop after a parcel was posted. The carrier may be the last reference to lanes.
type Deferred<B> = (Option<Arc<dyn Carrier<B>>>, DeferredDrop);

/// Reason why an item did not go in, with the item.
pub(crate) enum PushError<T> {
    Full(T),
    Closed(T),
}

/// One sender's side of an outbox.
pub(crate) struct Lane<B: Batch> {
    id: u64,
    inner: Mutex<Inner<B>>,
    carrier: Weak<dyn Carrier<B>>,
    /// Wakes the first waiter when there may be room.
    pub(crate) room: Notify,
    /// Serves waiters in order.
    pub(crate) queue: tokio::sync::Mutex<()>,
}

struct Inner<B> {
    batch: B,
    /// True if an item can simply join the batch: a parcel is in flight, and nobody waits for room.
    fast_path: bool,
    phase: Phase,
    /// Ticket of the latest parcel.
    last_ticket: u64,
    /// True once the outbox was dropped.
    abandoned: bool,
    /// Number of batches that actors hold. Items that are left in them return.
    in_hand: usize,
    /// Number of senders that wait for room.
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

    /// Returns true if the lane is empty, and nothing can come in or return.
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

    /// Puts an item in for the first waiter.
    pub(crate) fn push_in_turn<'a>(
        self: &Arc<Self>,
        item: B::Item<'a>,
    ) -> Result<(), PushError<B::Item<'a>>> {
        self.push_slowly(item, true)
    }

    /// Puts an item in, and posts a parcel first if none is in flight. If the actor then turns out to be gone for
    /// good, the item has not been combined with others yet and can be returned.
    #[cold]
    fn push_slowly<'a>(
        self: &Arc<Self>,
        item: B::Item<'a>,
        in_turn: bool,
    ) -> Result<(), PushError<B::Item<'a>>> {
        self.locked(|inner, deferred| {
            // Posted while the batch is without the item: this may close the lane.
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

    /// Ensures that the contents are in flight to this incarnation of the actor or a later one. A parcel in flight to
    /// an earlier one becomes void.
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

    /// Refuses items from now on. Items that are inside are still delivered.
    pub(crate) fn close(&self) {
        {
            let mut inner = lock(&self.inner);
            let closed = inner.phase.closed();
            inner.enter(closed);
        }
        self.room.notify_one();
    }

    /// Records that the outbox was dropped. The carrier may forget the lane once it is empty for good.
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

    /// Registers a waiting sender, until the result is dropped.
    pub(crate) fn wait(&self) -> Waiter<'_, B> {
        let mut inner = lock(&self.inner);
        inner.waiters += 1;
        inner.update_fast_path();
        Waiter(self)
    }

    /// Locks the lane, and drops what is deferred only after unlocking it, also while a panic of the batch unwinds.
    fn locked<R>(&self, change: impl FnOnce(&mut Inner<B>, &mut Option<Deferred<B>>) -> R) -> R {
        // Declared before the guard, so it is dropped after it.
        let mut deferred = None;
        let mut inner = lock(&self.inner);
        change(&mut inner, &mut deferred)
    }

    /// Posts a parcel with the next ticket, which makes any earlier one void.
    #[must_use]
    fn post(self: &Arc<Self>, inner: &mut Inner<B>) -> Deferred<B> {
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
            // Its successor's `forward` sends the contents.
            Err(PostError::Away) => inner.phase.landed(),
            Err(PostError::Gone) => inner.phase.landed().closed(),
        };
        inner.enter(phase);
        (carrier, deferred)
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

/// Sender that waits for room.
pub(crate) struct Waiter<'a, B: Batch>(&'a Lane<B>);

impl<B: Batch> Drop for Waiter<'_, B> {
    fn drop(&mut self) {
        let mut inner = lock(&self.0.inner);
        inner.waiters -= 1;
        inner.update_fast_path();
    }
}

/// Message that an outbox sends: a reference to the outbox's contents at the time when the actor opens it.
///
/// A parcel that is dropped unopened, for instance because its actor has died, leaves everything in the outbox, and
/// the next item sends a new one.
pub struct Parcel<B: Batch> {
    lane: Arc<Lane<B>>,
    ticket: u64,
}

impl<B: Batch> Parcel<B> {
    /// Takes everything out of the outbox. Returns `None` if a later parcel has replaced this one, which happens when
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
            // The first waiter tries again, and finds out whether the actor still exists.
            self.lane.room.notify_one();
        }
    }
}

impl<B: Batch> fmt::Debug for Parcel<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// Contents of a parcel, to be emptied as they are applied. Items that are left when this is dropped, for instance
/// because applying one panics or the actor is killed, go back into the outbox and are delivered again. So do items
/// that the actor has put in.
pub struct OpenBatch<B: Batch> {
    lane: Arc<Lane<B>>,
    /// `Some` until this is dropped.
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
            // The actor may have put more items in than were taken.
            inner.metrics.delivered += self.taken.saturating_sub(left);
            let is_dropped = inner.abandoned && Mutation::DropOutboxWithBatch.is_planted();
            if left > 0 && !is_dropped {
                inner.batch.put_back(rest);
                // A parcel in flight, sent for items that came since, delivers these as well.
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

    /// Carrier to an actor that is just dying: its mailbox takes the parcel, and nobody else refers to it any more.
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
