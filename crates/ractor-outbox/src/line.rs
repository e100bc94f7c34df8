//! The protocol between one sender and one actor. The model checker runs this file.
//!
//! A line is in one of two states: nothing under way, or one parcel under way, which has the line's current ticket.
//! A parcel with an older ticket is void: opening or dropping it changes nothing.

use std::any::Any;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

use crate::sync::{Mutex, lock};
use crate::{Batch, Metrics};

/// Takes parcels to wherever the actor is now.
pub(crate) trait Route<B: Batch>: Send + Sync {
    /// Sends a parcel, without waiting. This is called with the line locked.
    fn post(&self, parcel: Parcel<B>) -> Posted;

    /// Nobody will put anything into this line any more, and nothing is inside.
    fn forget(&self, line: u64);
}

/// What has become of a parcel.
pub(crate) struct Posted {
    /// Which incarnation of the actor it has gone to.
    pub(crate) outcome: Result<u64, NotPosted>,
    pub(crate) later: Later,
}

/// Why a parcel could not be sent.
pub(crate) enum NotPosted {
    /// The actor may come back.
    Away,
    /// It will not.
    Closed,
}

/// What must not be dropped before the line is unlocked, because a parcel may be dropped with it, which locks the line:
/// messages that could not be sent, and references to the actor, for with the last one goes what hangs in its mailbox.
pub(crate) type Later = Box<dyn Any + Send>;

/// Why an item did not go in.
pub(crate) enum NotPushed<T> {
    Full(T),
    Closed(T),
}

/// One sender's side of an outbox.
pub(crate) struct Line<B: Batch> {
    id: u64,
    inner: Mutex<Inner<B>>,
    route: Weak<dyn Route<B>>,
    /// Tells the first of those who wait that there may be room.
    pub(crate) room: Notify,
    /// Keeps those who wait in order.
    pub(crate) queue: tokio::sync::Mutex<()>,
}

struct Inner<B> {
    batch: B,
    /// A parcel is under way, the actor may come back and nobody waits: an item can join without further ado.
    simple: bool,
    under_way: bool,
    /// The ticket of the latest parcel.
    ticket: u64,
    /// Where the latest parcel went.
    incarnation: u64,
    closed: bool,
    /// Its outbox is gone.
    abandoned: bool,
    /// Batches that actors hold. What is left of them comes back.
    in_hand: usize,
    /// How many senders wait for room.
    waiting: usize,
    metrics: Metrics,
}

impl<B: Batch> Inner<B> {
    fn settle(&mut self) {
        self.simple = self.under_way && !self.closed && self.waiting == 0;
    }

    /// Nothing can be inside again.
    fn is_finished(&self) -> bool {
        self.abandoned && self.in_hand == 0 && self.batch.is_empty()
    }
}

impl<B: Batch> Line<B> {
    pub(crate) fn new(id: u64, batch: B, route: Weak<dyn Route<B>>) -> Self {
        let inner = Inner {
            batch,
            simple: false,
            under_way: false,
            ticket: 0,
            incarnation: 0,
            closed: false,
            abandoned: false,
            in_hand: 0,
            waiting: 0,
            metrics: Metrics::default(),
        };
        Self { id, inner: Mutex::new(inner), route, room: Notify::new(), queue: tokio::sync::Mutex::new(()) }
    }

    /// Puts an item in, unless others wait for room before it.
    #[inline]
    pub(crate) fn push<'a>(self: &Arc<Self>, item: B::Item<'a>) -> Result<(), NotPushed<B::Item<'a>>> {
        let mut inner = lock(&self.inner);
        if inner.simple {
            inner.batch.push(item).map_err(NotPushed::Full)
        } else {
            drop(inner);
            self.push_slowly(item, false)
        }
    }

    /// Puts an item in for the first of those who wait.
    pub(crate) fn push_in_turn<'a>(
        self: &Arc<Self>,
        item: B::Item<'a>,
    ) -> Result<(), NotPushed<B::Item<'a>>> {
        self.push_slowly(item, true)
    }

    /// Sends a parcel first if none is under way: if the actor is gone for good, the item has not been mixed with
    /// others yet and can be given back.
    #[cold]
    fn push_slowly<'a>(
        self: &Arc<Self>,
        item: B::Item<'a>,
        in_turn: bool,
    ) -> Result<(), NotPushed<B::Item<'a>>> {
        self.locked(|inner, later| {
            if !inner.closed && !inner.under_way {
                *later = Some(self.post(inner));
            }
            if inner.closed {
                Err(NotPushed::Closed(item))
            } else if inner.waiting > 0 && !in_turn {
                Err(NotPushed::Full(item))
            } else {
                inner.batch.push(item).map_err(NotPushed::Full)
            }
        })
    }

    /// Sees to it that what is inside is under way to this incarnation of the actor or a later one. A parcel that is
    /// under way to an earlier one becomes void.
    pub(crate) fn forward(self: &Arc<Self>, incarnation: u64) {
        self.locked(|inner, later| {
            if inner.under_way && inner.incarnation >= incarnation {
                return;
            }
            inner.under_way = false;
            inner.settle();
            if !inner.batch.is_empty() {
                *later = Some(self.post(inner));
            }
        });
    }

    /// Refuses all that comes from now on. What is inside is still delivered if a parcel is under way.
    pub(crate) fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        inner.settle();
        drop(inner);
        self.room.notify_one();
    }

    /// The outbox is gone: the route may forget the line as soon as nothing is inside, and nothing can come back.
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
        lock(&self.inner).closed
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let inner = lock(&self.inner);
        Metrics { waiting: inner.batch.len(), ..inner.metrics }
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Metrics)) {
        count(&mut lock(&self.inner).metrics);
    }

    /// One more sender waits for room, until the result is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_, B> {
        let mut inner = lock(&self.inner);
        inner.waiting += 1;
        inner.settle();
        Waiting(self)
    }

    /// Locks the line, and drops what is deferred only after unlocking it, also when a batch panics.
    fn locked<R>(&self, change: impl FnOnce(&mut Inner<B>, &mut Option<Later>) -> R) -> R {
        // Declared before the guard, so it is dropped after it.
        let mut later = None;
        let mut inner = lock(&self.inner);
        change(&mut inner, &mut later)
    }

    /// What is returned is dropped after unlocking.
    #[must_use]
    fn post(self: &Arc<Self>, inner: &mut Inner<B>) -> Later {
        inner.ticket += 1;
        let parcel = Parcel { line: self.clone(), ticket: inner.ticket };
        let route = self.route.upgrade();
        let Posted { outcome, later } = match &route {
            Some(route) => route.post(parcel),
            None => Posted { outcome: Err(NotPosted::Closed), later: Box::new(parcel) },
        };
        inner.under_way = outcome.is_ok();
        match outcome {
            Ok(incarnation) => {
                inner.incarnation = incarnation;
                inner.metrics.parcels += 1;
            }
            Err(NotPosted::Away) => {}
            Err(NotPosted::Closed) => inner.closed = true,
        }
        inner.settle();
        Box::new((route, later))
    }

    fn forget(&self) {
        if let Some(route) = self.route.upgrade() {
            route.forget(self.id);
        }
    }
}

impl<B: Batch> Drop for Line<B> {
    fn drop(&mut self) {
        let items = lock(&self.inner).batch.len();
        if items > 0 {
            tracing::warn!(items, "the actor is gone, and so are these undelivered items");
        }
    }
}

/// Somebody waits for room.
pub(crate) struct Waiting<'a, B: Batch>(&'a Line<B>);

impl<B: Batch> Drop for Waiting<'_, B> {
    fn drop(&mut self) {
        let mut inner = lock(&self.0.inner);
        inner.waiting -= 1;
        inner.settle();
    }
}

/// The message that an outbox sends: a reference to what is inside by the time the actor opens it.
///
/// A parcel that is dropped unopened, because its actor has died for instance, leaves everything in the outbox, and
/// the next item sends a new one.
pub struct Parcel<B: Batch> {
    line: Arc<Line<B>>,
    ticket: u64,
}

impl<B: Batch> Parcel<B> {
    /// Takes everything out of the outbox. `None` if a later parcel has taken this one's place, which happens when
    /// the outbox was redirected meanwhile.
    #[must_use]
    pub fn open(self) -> Option<Opened<B>> {
        let mut inner = lock(&self.line.inner);
        if !inner.under_way || inner.ticket != self.ticket {
            return None;
        }
        let empty = inner.batch.empty();
        inner.under_way = false;
        inner.in_hand += 1;
        inner.settle();
        let batch = mem::replace(&mut inner.batch, empty);
        drop(inner);
        self.line.room.notify_one();
        Some(Opened { taken: batch.len(), batch: Some(batch), line: self.line.clone() })
    }
}

impl<B: Batch> Drop for Parcel<B> {
    fn drop(&mut self) {
        let mut inner = lock(&self.line.inner);
        if inner.under_way && inner.ticket == self.ticket {
            inner.under_way = false;
            inner.settle();
            drop(inner);
            // Whoever waits for room tries again, and learns whether the actor is there.
            self.line.room.notify_one();
        }
    }
}

impl<B: Batch> fmt::Debug for Parcel<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// What was in a parcel. Empty it as you apply it: what is left when this is dropped, for instance because applying an
/// item panics or the actor is killed, goes back into the outbox and is delivered again. So does what you put in.
pub struct Opened<B: Batch> {
    line: Arc<Line<B>>,
    /// There until this is dropped.
    batch: Option<B>,
    taken: u64,
}

impl<B: Batch> Deref for Opened<B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.batch.as_ref().expect("the batch is there until this is dropped")
    }
}

impl<B: Batch> DerefMut for Opened<B> {
    fn deref_mut(&mut self) -> &mut B {
        self.batch.as_mut().expect("the batch is there until this is dropped")
    }
}

impl<B: Batch> Drop for Opened<B> {
    fn drop(&mut self) {
        let Some(rest) = self.batch.take() else { return };
        let left = rest.len();
        let finished = self.line.locked(|inner, later| {
            inner.in_hand -= 1;
            // Whoever applies a batch may have put more in than was taken.
            inner.metrics.delivered += self.taken.saturating_sub(left);
            if left > 0 {
                inner.batch.put_back(rest);
                if !inner.under_way {
                    *later = Some(self.line.post(inner));
                }
            }
            inner.is_finished()
        });
        if finished {
            self.line.forget();
        }
    }
}

impl<B: Batch + fmt::Debug> fmt::Debug for Opened<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("batch", &self.batch).finish_non_exhaustive()
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

    impl Route<Fifo<u8>> for Dying {
        fn post(&self, parcel: Parcel<Fifo<u8>>) -> Posted {
            Posted { outcome: Ok(0), later: Box::new(parcel) }
        }

        fn forget(&self, _line: u64) {}
    }

    #[test]
    fn a_parcel_that_goes_with_the_last_reference_to_its_actor_finds_the_line_unlocked() {
        let route = Arc::new(Dying);
        let weak: Weak<Dying> = Arc::downgrade(&route);
        let line = Arc::new(Line::new(0, Fifo::bounded(NonZeroUsize::MIN), weak));
        assert!(line.push(1).is_ok());
        assert_eq!(line.metrics().waiting, 1);
        assert!(matches!(line.push(2), Err(NotPushed::Full(2))));
        line.forward(1);
    }
}
