//! Address of an actor, through its restarts, and the lanes that lead to it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Weak};

use ractor::{ActorRef, Message, MessagingErr};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::batch::Batch;
use crate::lane::{Carrier, Lane, Parcel, PostError, Posted};
use crate::sync::{Mutex, lock};

/// Address and lanes, shared by all outboxes on one actor.
///
/// *Invariant:* a lane's lock is never waited for with the route's lock held. Parcels are sent the other way round.
pub(crate) struct Route<B: Batch, M> {
    state: Mutex<State<B, M>>,
    /// True if a dead actor is expected back.
    supervised: bool,
    /// Wakes tasks that wait for the actor's successor.
    moved: Notify,
}

struct State<B: Batch, M> {
    /// Latest incarnation; none before the first.
    actor: Option<ActorRef<M>>,
    /// True once no more items are taken, and no answer is to be expected from a successor.
    closed: bool,
    /// Number of the latest incarnation, which is the number of redirections.
    incarnation: u64,
    /// Lanes in the order of their creation, in which they are forwarded.
    lanes: BTreeMap<u64, Arc<Lane<B>>>,
    next_lane: u64,
    /// Task that waits for the end of an actor that nobody restarts.
    watch: Option<AbortHandle>,
}

impl<B: Batch, M: Message + From<Parcel<B>>> Route<B, M> {
    /// Creates a route to an actor that nobody restarts. It closes when the actor ends: a parcel that stays in the
    /// dead mailbox would otherwise keep its lane open.
    pub(crate) fn fixed(actor: ActorRef<M>) -> Arc<Self> {
        let route = Self::new(Some(actor.clone()), false);
        let watching = Arc::downgrade(&route);
        let watch = tokio::spawn(async move {
            // Without a deadline there is no error.
            let _ = actor.wait(None).await;
            if let Some(route) = watching.upgrade() {
                route.close();
            }
        });
        lock(&route.state).watch = Some(watch.abort_handle());
        route
    }

    /// Creates a route to an actor that is still to be started, and will be restarted.
    pub(crate) fn supervised() -> Arc<Self> {
        Self::new(None, true)
    }

    fn new(actor: Option<ActorRef<M>>, supervised: bool) -> Arc<Self> {
        let state =
            State { actor, closed: false, incarnation: 0, lanes: BTreeMap::new(), next_lane: 0, watch: None };
        Arc::new(Self { state: Mutex::new(state), supervised, moved: Notify::new() })
    }

    /// Adds a lane.
    pub(crate) fn lane(self: &Arc<Self>, empty: B) -> Arc<Lane<B>> {
        let carrier: Weak<Self> = Arc::downgrade(self);
        let mut state = lock(&self.state);
        let id = state.next_lane;
        state.next_lane += 1;
        let lane = Arc::new(Lane::new(id, empty, carrier));
        state.lanes.insert(id, lane.clone());
        let closed = state.closed;
        drop(state);
        if closed {
            lane.close();
        }
        lane
    }

    /// Forwards the contents of all lanes to a new incarnation, also after [`close`](Self::close).
    pub(crate) fn redirect(&self, actor: ActorRef<M>) {
        let (predecessor, incarnation) = {
            let mut state = lock(&self.state);
            let predecessor = state.actor.replace(actor);
            state.incarnation += 1;
            (predecessor, state.incarnation)
        };
        // Dropped only after the route is unlocked: parcels may go with the last reference to it, and they lock their
        // lanes.
        drop(predecessor);
        self.forward(incarnation);
        self.moved.notify_waiters();
    }

    /// Ensures that the contents of all lanes are in flight to this incarnation or a later one.
    pub(crate) fn forward(&self, incarnation: u64) {
        self.lanes().iter().for_each(|lane| lane.forward(incarnation));
    }

    /// Closes all lanes, including future ones.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.lanes().iter().for_each(|lane| lane.close());
        self.moved.notify_waiters();
    }

    fn lanes(&self) -> Vec<Arc<Lane<B>>> {
        lock(&self.state).lanes.values().cloned().collect()
    }

    /// Returns the actor's latest incarnation.
    pub(crate) fn actor(&self) -> Option<ActorRef<M>> {
        lock(&self.state).actor.clone()
    }

    /// Waits for an incarnation of the actor other than this one, and returns it with its number. Returns `None` if
    /// there will be none, or the route is closed.
    pub(crate) async fn incarnation_after(&self, last: Option<u64>) -> Option<(u64, ActorRef<M>)> {
        self.next_incarnation(last, false).await
    }

    /// Waits like [`incarnation_after`](Self::incarnation_after), but also when the route is closed.
    pub(crate) async fn successor_of(&self, last: Option<u64>) -> Option<(u64, ActorRef<M>)> {
        self.next_incarnation(last, true).await
    }

    async fn next_incarnation(&self, last: Option<u64>, although_closed: bool) -> Option<(u64, ActorRef<M>)> {
        loop {
            let moved = self.moved.notified();
            {
                let state = lock(&self.state);
                if state.closed && !although_closed {
                    return None;
                }
                if let Some(actor) = &state.actor
                    && last != Some(state.incarnation)
                {
                    return Some((state.incarnation, actor.clone()));
                }
            }
            if !self.supervised {
                return None;
            }
            moved.await;
        }
    }

    /// Resolves when the actor has a later incarnation than this one.
    pub(crate) async fn replaced(&self, incarnation: u64) {
        loop {
            let moved = self.moved.notified();
            if lock(&self.state).incarnation > incarnation {
                return;
            }
            moved.await;
        }
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> Carrier<B> for Route<B, M> {
    fn post(&self, parcel: Parcel<B>) -> Posted {
        let (closed, incarnation, actor) = {
            let state = lock(&self.state);
            (state.closed, state.incarnation, state.actor.clone())
        };
        let unreachable = || Err(if self.supervised && !closed { PostError::Away } else { PostError::Gone });
        let Some(actor) = actor else {
            return Posted { outcome: unreachable(), deferred: Box::new(parcel) };
        };
        // `ractor` drops a message of the wrong type or for a remote actor, and here a parcel must not be dropped.
        if actor.is_message_type_of::<M>() != Some(true) {
            return Posted { outcome: Err(PostError::Gone), deferred: Box::new((actor, parcel)) };
        }
        match actor.cast(parcel.into()) {
            Ok(()) => Posted { outcome: Ok(incarnation), deferred: Box::new(actor) },
            Err(error) => {
                let message = match error {
                    MessagingErr::SendErr(message) => Some(message),
                    MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => None,
                };
                Posted { outcome: unreachable(), deferred: Box::new((actor, message)) }
            }
        }
    }

    fn forget(&self, lane: u64) {
        let lane = lock(&self.state).lanes.remove(&lane);
        drop(lane);
    }
}

impl<B: Batch, M> Drop for Route<B, M> {
    /// Ends lanes without a parcel in flight, because nobody can redirect any more.
    fn drop(&mut self) {
        let (actor, lanes) = {
            let mut state = lock(&self.state);
            if let Some(watch) = state.watch.take() {
                watch.abort();
            }
            (state.actor.take(), mem::take(&mut state.lanes))
        };
        drop((actor, lanes));
    }
}
