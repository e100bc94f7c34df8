use std::fmt;
use std::sync::Arc;

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, MessagingErr, RpcReplyPort};

use crate::hub::Hub;
use crate::line::{Line, NotPushed};
use crate::{Batch, Metrics, Parcel};

/// How often one incarnation of an actor is asked before a question that it drops is an error. An actor that dies of
/// a panic drops questions before anybody can see that it is dying.
const ATTEMPTS: u32 = 3;

/// One sender's outbox for one actor.
///
/// A clone is a new, empty outbox for the same actor: give each sender its own, so that they do not contend. When the
/// actor is replaced, one [`redirect`](Self::redirect) does for all clones. An outbox that is dropped with items
/// inside still delivers them, also to a successor as long as another clone is there to learn of it; items that can no
/// longer be delivered are reported by a `tracing` warning.
pub struct Outbox<B: Batch, M: Message + From<Parcel<B>>> {
    hub: Arc<Hub<B, M>>,
    line: Arc<Line<B>>,
}

/// Why an item did not go in. It has it.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<T> {
    /// There is no room: the actor is behind.
    #[error("put an item into an outbox that is full: wait, drop it or send it elsewhere")]
    Full(T),
    /// The actor is gone, and will not come back.
    #[error("put an item into an outbox whose actor is gone for good")]
    Closed(T),
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The actor is gone, and will not come back. It has not answered.
    #[error("ask an actor that is gone for good")]
    Closed,
    /// The actor dropped the question without an answer, or died with it.
    #[error("get an answer: the actor dropped the question")]
    Unanswered,
}

impl<B: Batch, M: Message + From<Parcel<B>>> Outbox<B, M> {
    /// An outbox for an actor that nobody restarts: once it has stopped, items are refused as
    /// [`Closed`](SendError::Closed). A task watches the actor until the last clone is dropped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn new(empty: B, actor: ActorRef<M>) -> Self {
        Self::on(Hub::fixed(actor), empty)
    }

    /// An outbox for an actor that somebody starts and restarts, and calls [`redirect`](Self::redirect) each time.
    /// While there is no actor, items wait inside, up to the bound. If it is not to come back, [`close`](Self::close)
    /// says so.
    #[must_use]
    pub fn supervised(empty: B) -> Self {
        Self::on(Hub::supervised(), empty)
    }

    fn on(hub: Arc<Hub<B, M>>, empty: B) -> Self {
        let line = hub.line(empty);
        Self { hub, line }
    }

    /// Puts an item in. If the outbox is full, the item comes back (refused, and counted).
    ///
    /// # Errors
    /// [`SendError`]; the outbox is also full for those who come after others that wait for room.
    #[inline]
    pub fn try_send<'a>(&self, item: B::Item<'a>) -> Result<(), SendError<B::Item<'a>>> {
        match self.line.push(item) {
            Ok(()) => Ok(()),
            Err(NotPushed::Closed(item)) => Err(SendError::Closed(item)),
            Err(NotPushed::Full(item)) => {
                self.line.count(|metrics| metrics.refused += 1);
                Err(SendError::Full(item))
            }
        }
    }

    /// Puts an item in. If the outbox is full, waits until the actor has made room.
    ///
    /// Those who wait are served in order. A future that is dropped before it is ready has put nothing in.
    ///
    /// # Errors
    /// [`SendError::Closed`], never `Full`.
    pub async fn send<'a>(&self, item: B::Item<'a>) -> Result<(), SendError<B::Item<'a>>> {
        let mut item = match self.line.push(item) {
            Ok(()) => return Ok(()),
            Err(NotPushed::Closed(item)) => return Err(SendError::Closed(item)),
            Err(NotPushed::Full(item)) => item,
        };
        let _waiting = self.line.wait();
        let _turn = self.line.queue.lock().await;
        loop {
            item = match self.line.push_in_turn(item) {
                Ok(()) => return Ok(()),
                Err(NotPushed::Closed(item)) => return Err(SendError::Closed(item)),
                Err(NotPushed::Full(item)) => item,
            };
            self.line.room.notified().await;
        }
    }

    /// Puts an item in. If the outbox is full, drops the item and counts it. True if it went in.
    ///
    /// # Errors
    /// [`SendError::Closed`], never `Full`.
    pub fn send_or_drop<'a>(&self, item: B::Item<'a>) -> Result<bool, SendError<B::Item<'a>>> {
        match self.line.push(item) {
            Ok(()) => Ok(true),
            Err(NotPushed::Closed(item)) => Err(SendError::Closed(item)),
            Err(NotPushed::Full(_)) => {
                self.line.count(|metrics| metrics.dropped += 1);
                Ok(false)
            }
        }
    }

    /// Puts an item in. If the outbox is full or its actor gone for good, tries another one, as
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
        match self.line.push(item) {
            Ok(()) => Ok(()),
            Err(NotPushed::Full(item) | NotPushed::Closed(item)) => other.try_send(item),
        }
    }

    /// Asks the actor something, behind everything that was put into this outbox before. Waits for as long as the
    /// actor takes. If it dies first, its successor is asked: so this is for questions that do no harm twice.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Result<T, CallError> {
        let mut asked = None;
        while let Some((incarnation, actor)) = self.hub.incarnation_after(asked).await {
            asked = Some(incarnation);
            self.line.forward(incarnation);
            let mut attempts = 0;
            // An error means that it takes no more messages: it is gone, or about to be.
            while let Some(Ok(result)) = self.ask(incarnation, &actor, &question).await {
                attempts += 1;
                match result {
                    CallResult::Success(answer) => return Ok(answer),
                    CallResult::SenderError | CallResult::Timeout if attempts == ATTEMPTS => {
                        return Err(CallError::Unanswered);
                    }
                    CallResult::SenderError | CallResult::Timeout => {}
                }
            }
        }
        Err(CallError::Closed)
    }

    /// Asks one incarnation once. `None` if it has ended or was replaced: a question that was sent just then may stay in
    /// its mailbox, neither answered nor dropped, for as long as anybody refers to the actor.
    async fn ask<T: Send + 'static>(
        &self,
        incarnation: u64,
        actor: &ActorRef<M>,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Option<Result<CallResult<T>, MessagingErr<M>>> {
        tokio::select! {
            biased;
            result = actor.call(question, None) => Some(result),
            _ = actor.wait(None) => None,
            () = self.hub.replaced(incarnation) => None,
        }
    }

    /// The actor is here now: what waits in this outbox and in all its clones goes there, and so does what comes
    /// later. Does nothing after [`close`](Self::close).
    pub fn redirect(&self, actor: ActorRef<M>) {
        self.hub.redirect(actor);
    }

    /// The actor will not come back: this outbox and all its clones refuse what comes from now on.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Whether the actor is gone for good, as far as this outbox has noticed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.line.is_closed()
    }

    /// The actor's latest incarnation; `None` before the first. A message that is cast there directly may overtake
    /// what waits in the outbox.
    #[must_use]
    pub fn actor(&self) -> Option<ActorRef<M>> {
        self.hub.actor()
    }

    /// What has become of this outbox's items.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.line.metrics()
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> Clone for Outbox<B, M> {
    fn clone(&self) -> Self {
        Self::on(self.hub.clone(), self.line.empty_batch())
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> Drop for Outbox<B, M> {
    fn drop(&mut self) {
        self.line.abandon();
    }
}

impl<B: Batch, M: Message + From<Parcel<B>>> fmt::Debug for Outbox<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("actor", &self.actor()).field("metrics", &self.metrics()).finish()
    }
}

impl<T> SendError<T> {
    /// The item that did not go in.
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
