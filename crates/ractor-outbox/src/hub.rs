//! Where an actor is, through its restarts, and the lines that lead to it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Weak};

use ractor::{ActorRef, Message, MessagingErr};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::Batch;
use crate::line::{Line, NotPosted, Parcel, Posted, Route};
use crate::sync::{Mutex, lock};

/// What all outboxes on one actor share.
///
/// *Invariant:* a line's lock is never waited for with the hub's lock held; the other way round is how parcels are
/// sent.
pub(crate) struct Hub<B: Batch, M> {
    state: Mutex<State<B, M>>,
    /// Whether a dead actor is expected back.
    supervised: bool,
    /// Tells those who wait for the actor's successor.
    moved: Notify,
}

struct State<B: Batch, M> {
    /// Its latest incarnation; none before the first.
    actor: Option<ActorRef<M>>,
    /// It will not come back.
    closed: bool,
    /// Counts redirections.
    incarnation: u64,
    lines: HashMap<u64, Arc<Line<B>>>,
    next_line: u64,
    /// Waits for the end of an actor that nobody restarts.
    watch: Option<AbortHandle>,
}

impl<B: Batch, M: Message + From<Parcel<B>>> Hub<B, M> {
    /// A hub for an actor that nobody restarts. It closes when the actor ends: a parcel that stays in the dead mailbox
    /// would otherwise keep its line open.
    pub(crate) fn fixed(actor: ActorRef<M>) -> Arc<Self> {
        let hub = Self::new(Some(actor.clone()), false);
        let watching = Arc::downgrade(&hub);
        let watch = tokio::spawn(async move {
            // Without a deadline there is no error.
            let _ = actor.wait(None).await;
            if let Some(hub) = watching.upgrade() {
                hub.close();
            }
        });
        lock(&hub.state).watch = Some(watch.abort_handle());
        hub
    }

    /// A hub for an actor that is still to be started, and will be restarted.
    pub(crate) fn supervised() -> Arc<Self> {
        Self::new(None, true)
    }

    fn new(actor: Option<ActorRef<M>>, supervised: bool) -> Arc<Self> {
        let state =
            State { actor, closed: false, incarnation: 0, lines: HashMap::new(), next_line: 0, watch: None };
        Arc::new(Self { state: Mutex::new(state), supervised, moved: Notify::new() })
    }

    /// A new line to the actor.
    pub(crate) fn line(self: &Arc<Self>, empty: B) -> Arc<Line<B>> {
        let route: Weak<Self> = Arc::downgrade(self);
        let mut state = lock(&self.state);
        let id = state.next_line;
        state.next_line += 1;
        let line = Arc::new(Line::new(id, empty, route));
        state.lines.insert(id, line.clone());
        let closed = state.closed;
        drop(state);
        if closed {
            line.close();
        }
        line
    }

    pub(crate) fn redirect(&self, actor: ActorRef<M>) {
        let (predecessor, incarnation, lines): (_, _, Vec<_>) = {
            let mut state = lock(&self.state);
            if state.closed {
                return;
            }
            let predecessor = state.actor.replace(actor);
            state.incarnation += 1;
            (predecessor, state.incarnation, state.lines.values().cloned().collect())
        };
        // Not before the hub is unlocked: parcels may go with the last reference to it, and they lock their lines.
        drop(predecessor);
        for line in lines {
            line.forward(incarnation);
        }
        self.moved.notify_waiters();
    }

    pub(crate) fn close(&self) {
        let lines: Vec<_> = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.lines.values().cloned().collect()
        };
        for line in lines {
            line.close();
        }
        self.moved.notify_waiters();
    }

    /// The actor's latest incarnation.
    pub(crate) fn actor(&self) -> Option<ActorRef<M>> {
        lock(&self.state).actor.clone()
    }

    /// Waits for an incarnation of the actor other than this one, and returns its number. `None` if there will be none.
    pub(crate) async fn incarnation_after(&self, last: Option<u64>) -> Option<(u64, ActorRef<M>)> {
        loop {
            let moved = self.moved.notified();
            {
                let state = lock(&self.state);
                if state.closed {
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

impl<B: Batch, M: Message + From<Parcel<B>>> Route<B> for Hub<B, M> {
    fn post(&self, parcel: Parcel<B>) -> Posted {
        let (closed, incarnation, actor) = {
            let state = lock(&self.state);
            (state.closed, state.incarnation, state.actor.clone())
        };
        let Some(actor) = actor.filter(|_| !closed) else {
            let outcome = Err(if closed { NotPosted::Closed } else { NotPosted::Away });
            return Posted { outcome, later: Box::new(parcel) };
        };
        // ractor drops a message of the wrong type or for a remote actor, and here a parcel must not be dropped.
        if actor.is_message_type_of::<M>() != Some(true) {
            return Posted { outcome: Err(NotPosted::Closed), later: Box::new((actor, parcel)) };
        }
        match actor.cast(parcel.into()) {
            Ok(()) => Posted { outcome: Ok(incarnation), later: Box::new(actor) },
            Err(error) => {
                let outcome = Err(if self.supervised { NotPosted::Away } else { NotPosted::Closed });
                let message = match error {
                    MessagingErr::SendErr(message) => Some(message),
                    MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => None,
                };
                Posted { outcome, later: Box::new((actor, message)) }
            }
        }
    }

    fn forget(&self, line: u64) {
        let line = lock(&self.state).lines.remove(&line);
        drop(line);
    }
}

impl<B: Batch, M> Drop for Hub<B, M> {
    /// Nobody can redirect any more: lines without a parcel under way end here.
    fn drop(&mut self) {
        let (actor, lines) = {
            let mut state = lock(&self.state);
            if let Some(watch) = state.watch.take() {
                watch.abort();
            }
            (state.actor.take(), mem::take(&mut state.lines))
        };
        drop((actor, lines));
    }
}
