use std::fmt;
use std::sync::Arc;

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, MessagingErr, RpcReplyPort};

use crate::batch::Batch;
use crate::lane::{Lane, Parcel, PushError};
use crate::metrics::Metrics;
use crate::route::Route;

/// Maximum number of times that one incarnation is asked a question that it drops. An actor that dies of a panic
/// drops questions before anybody can see that it is dying.
const ATTEMPTS: u32 = 3;

/// Outbox of one sender for one actor.
///
/// A clone is a new, empty outbox for the same actor: give each sender its own, so that they do not contend. When the
/// actor is replaced, one [`redirect`](Self::redirect) is enough for all clones. An outbox that is dropped with items
/// inside still delivers them, even to a successor as long as another clone remains to be redirected. Items that can
/// no longer be delivered are reported by a `tracing` warning.
pub struct Outbox<B: Batch, M: Message + From<Parcel<B>>> {
    route: Arc<Route<B, M>>,
    lane: Arc<Lane<B>>,
}

/// Reason why an item did not go in, with the item.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<T> {
    /// There is no room: the actor is behind.
    #[error("outbox is full: wait, drop the item or send it elsewhere")]
    Full(T),
    /// The actor is gone, and will not come back.
    #[error("outbox is closed: its actor is gone for good")]
    Closed(T),
}

/// Reason why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The actor is gone, and will not come back. It has not answered.
    #[error("actor is gone for good")]
    Closed,
    /// The actor dropped the question without an answer, or died with it.
    #[error("actor dropped the question")]
    Unanswered,
}

impl<B: Batch, M: Message + From<Parcel<B>>> Outbox<B, M> {
    /// Creates an outbox for an actor that nobody restarts. Once the actor has stopped, items are refused as
    /// [`Closed`](SendError::Closed). A task watches the actor until the last clone is dropped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(empty: B, actor: ActorRef<M>) -> Self {
        Self::on(Route::fixed(actor), empty)
    }

    /// Creates an outbox for a supervised actor, whose supervisor calls [`redirect`](Self::redirect) at each start.
    /// While there is no actor, items wait inside, up to the bound. Call [`close`](Self::close) if no further start
    /// will follow.
    #[must_use]
    pub fn supervised(empty: B) -> Self {
        Self::on(Route::supervised(), empty)
    }

    fn on(route: Arc<Route<B, M>>, empty: B) -> Self {
        let lane = route.lane(empty);
        Self { route, lane }
    }

    /// Puts an item in. If the outbox is full, returns the item and counts it as refused.
    ///
    /// # Errors
    /// [`SendError`]. The outbox also counts as full while others wait for room.
    #[inline]
    pub fn try_send<'a>(&self, item: B::Item<'a>) -> Result<(), SendError<B::Item<'a>>> {
        match self.lane.push(item) {
            Ok(()) => Ok(()),
            Err(PushError::Closed(item)) => Err(SendError::Closed(item)),
            Err(PushError::Full(item)) => {
                self.lane.count(|metrics| metrics.refused += 1);
                Err(SendError::Full(item))
            }
        }
    }

    /// Puts an item in. If the outbox is full, waits until the actor has made room.
    ///
    /// Waiting senders are served in order. A future that is dropped before it is ready has put nothing in.
    ///
    /// # Errors
    /// [`SendError::Closed`], never `Full`.
    pub async fn send<'a>(&self, item: B::Item<'a>) -> Result<(), SendError<B::Item<'a>>> {
        let mut item = match self.lane.push(item) {
            Ok(()) => return Ok(()),
            Err(PushError::Closed(item)) => return Err(SendError::Closed(item)),
            Err(PushError::Full(item)) => item,
        };
        let _waiting = self.lane.wait();
        let _turn = self.lane.queue.lock().await;
        loop {
            item = match self.lane.push_in_turn(item) {
                Ok(()) => return Ok(()),
                Err(PushError::Closed(item)) => return Err(SendError::Closed(item)),
                Err(PushError::Full(item)) => item,
            };
            self.lane.room.notified().await;
        }
    }

    /// Puts an item in. If the outbox is full, drops the item and counts it. Returns true if it went in.
    ///
    /// # Errors
    /// [`SendError::Closed`], never `Full`.
    pub fn send_or_drop<'a>(&self, item: B::Item<'a>) -> Result<bool, SendError<B::Item<'a>>> {
        match self.lane.push(item) {
            Ok(()) => Ok(true),
            Err(PushError::Closed(item)) => Err(SendError::Closed(item)),
            Err(PushError::Full(_)) => {
                self.lane.count(|metrics| metrics.dropped += 1);
                Ok(false)
            }
        }
    }

    /// Puts an item in. If the outbox is full or its actor gone for good, tries another outbox, as
    /// [`try_send`](Self::try_send) does.
    ///
    /// # Errors
    /// [`SendError`] of the other outbox.
    pub fn send_or<'a, B2, M2>(
        &self,
        item: B::Item<'a>,
        other: &Outbox<B2, M2>,
    ) -> Result<(), SendError<B::Item<'a>>>
    where
        B2: Batch<Item<'a> = B::Item<'a>>,
        M2: Message + From<Parcel<B2>>,
    {
        match self.lane.push(item) {
            Ok(()) => Ok(()),
            Err(PushError::Full(item) | PushError::Closed(item)) => other.try_send(item),
        }
    }

    /// Asks the actor a question, behind everything that was put into this outbox before. Waits without a time limit.
    /// If the actor dies first, its successor is asked, so the question should be idempotent.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Result<T, CallError> {
        let mut asked = None;
        while let Some((incarnation, actor)) = self.route.incarnation_after(asked).await {
            asked = Some(incarnation);
            self.lane.forward(incarnation);
            if let Some(outcome) = self.ask(incarnation, &actor, &question).await {
                return outcome;
            }
        }
        Err(CallError::Closed)
    }

    /// Closes this outbox and all its clones, then asks the actor a question behind everything that they have
    /// accepted. An answer means that all of it has been applied. If the actor dies first, its successor is asked:
    /// the supervisor must go on restarting it, and the caller has to notice if that is given up.
    ///
    /// # Errors
    /// [`CallError`]; `Closed` only of an actor that nobody restarts.
    pub async fn drain<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Result<T, CallError> {
        self.route.close();
        let mut asked = None;
        while let Some((incarnation, actor)) = self.route.successor_of(asked).await {
            asked = Some(incarnation);
            self.route.forward(incarnation);
            if let Some(outcome) = self.ask(incarnation, &actor, &question).await {
                return outcome;
            }
        }
        Err(CallError::Closed)
    }

    /// Asks one incarnation until it answers or has dropped the question too often. Returns `None` if it has ended or
    /// was replaced.
    async fn ask<T: Send + 'static>(
        &self,
        incarnation: u64,
        actor: &ActorRef<M>,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Option<Result<T, CallError>> {
        for _ in 0..ATTEMPTS {
            match self.ask_once(incarnation, actor, &question).await? {
                Ok(CallResult::Success(answer)) => return Some(Ok(answer)),
                Ok(CallResult::SenderError | CallResult::Timeout) => {}
                // It takes no more messages: it has stopped, or is about to.
                Err(_) => return None,
            }
        }
        Some(Err(CallError::Unanswered))
    }

    /// Asks one incarnation once. Returns `None` if it has ended or was replaced: a question that was sent just then
    /// may stay in its mailbox, neither answered nor dropped, for as long as a reference to the actor exists.
    async fn ask_once<T: Send + 'static>(
        &self,
        incarnation: u64,
        actor: &ActorRef<M>,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Option<Result<CallResult<T>, MessagingErr<M>>> {
        tokio::select! {
            biased;
            result = actor.call(question, None) => Some(result),
            _ = actor.wait(None) => None,
            () = self.route.replaced(incarnation) => None,
        }
    }

    /// Sends the contents of this outbox and of all its clones to a new incarnation of the actor, and later items,
    /// too. After [`close`](Self::close), items that were put in before are still sent.
    pub fn redirect(&self, actor: ActorRef<M>) {
        self.route.redirect(actor);
    }

    /// Refuses items from now on, in this outbox and all its clones, and questions that would need a successor of the
    /// actor. Items that are inside are still delivered.
    pub fn close(&self) {
        self.route.close();
    }

    /// Returns true if items are refused, because the outbox was closed or has noticed that its actor is gone for
    /// good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lane.is_closed()
    }

    /// Returns the actor's latest incarnation; `None` before the first. A message that is cast to it directly may
    /// overtake the contents of the outbox.
    #[must_use]
    pub fn actor(&self) -> Option<ActorRef<M>> {
        self.route.actor()
    }

    /// Returns counts of this outbox's items by outcome. Clones have their own.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.lane.metrics()
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> Clone for Outbox<B, M> {
    fn clone(&self) -> Self {
        Self::on(self.route.clone(), self.lane.empty_batch())
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> Drop for Outbox<B, M> {
    fn drop(&mut self) {
        self.lane.abandon();
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> fmt::Debug for Outbox<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("actor", &self.actor()).field("metrics", &self.metrics()).finish()
    }
}

impl<T> SendError<T> {
    /// Returns the item that did not go in.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
