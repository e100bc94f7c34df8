//! The actor that feed, book, risk manager and executor have in common.

use std::marker::PhantomData;
use std::num::NonZeroUsize;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{Fifo, Outbox, Parcel};
use ractor_supervision::{Lease, StateSlot, SupervisedActor};

/// Maximum number of quotes or orders that wait for an actor. Beyond it, the actor before waits.
const WAITING: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// Lots that are wanted at a price in cents, or on offer if they are negative. An order is a quote of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) price: i64,
    pub(crate) lots: i64,
}

/// Work of such an actor. Pure: the result goes to the next actor.
pub(crate) trait Stage: Send + Sync + 'static {
    /// Prepares an incarnation. If it fails, the next one tries again.
    fn start(&mut self) -> Result<(), &'static str> {
        Ok(())
    }

    fn work_on(&mut self, quote: Quote) -> Option<Quote>;
}

type Handled<T = ()> = Result<T, ActorProcessingErr>;
pub(crate) type Inbox = Outbox<Fifo<Quote>, Work>;

pub(crate) enum Work {
    Parcel(Parcel<Fifo<Quote>>),
    /// Answered when everything that was sent before has gone through this actor and those after it.
    Settle(RpcReplyPort<()>),
}

impl Message for Work {}
impl From<Parcel<Fifo<Quote>>> for Work {
    fn from(parcel: Parcel<Fifo<Quote>>) -> Self {
        Self::Parcel(parcel)
    }
}

/// State that outlives the actor.
pub(crate) struct Desk<S> {
    pub(crate) stage: S,
    next: Option<Inbox>,
    /// Result that is not yet sent to the next actor.
    outgoing: Option<Quote>,
    /// Number of quotes that the actor has begun on and died of. They are not tried again.
    pub(crate) poisoned: u64,
}

impl<S: Stage> Desk<S> {
    /// Sends the result on, and waits while the next actor is behind. If this actor is killed meanwhile, its
    /// successor sends it.
    async fn pass_on(&mut self) -> Handled {
        if let (Some(next), Some(quote)) = (&self.next, self.outgoing) {
            next.send(quote).await?;
        }
        self.outgoing = None;
        Ok(())
    }
}

/// The actor of a stage.
pub(crate) struct Worker<S>(PhantomData<S>);

impl<S: Stage> Worker<S> {
    pub(crate) fn supervised(id: &str, stage: S, next: Option<Inbox>) -> Supervised<S> {
        let desk = Desk { stage, next, outgoing: None, poisoned: 0 };
        SupervisedActor::new(id, || Self(PhantomData), desk, Fifo::bounded(WAITING))
    }
}

pub(crate) type DeskSlot<S> = StateSlot<Desk<S>>;
type Supervised<S> = SupervisedActor<Worker<S>, Desk<S>, Fifo<Quote>>;

impl<S: Stage> Actor for Worker<S> {
    type Msg = Work;
    type State = Lease<Desk<S>>;
    type Arguments = Lease<Desk<S>>;

    async fn pre_start(&self, _: ActorRef<Work>, desk: Lease<Desk<S>>) -> Handled<Lease<Desk<S>>> {
        Ok(desk)
    }

    async fn post_start(&self, _: ActorRef<Work>, desk: &mut Lease<Desk<S>>) -> Handled {
        Ok(desk.stage.start()?)
    }

    async fn handle(&self, _: ActorRef<Work>, message: Work, desk: &mut Lease<Desk<S>>) -> Handled {
        desk.pass_on().await?;
        match message {
            Work::Parcel(parcel) => {
                let Some(mut quotes) = parcel.open() else { return Ok(()) };
                // Quotes that are left when this panics go back to the sender's outbox.
                while let Some(quote) = quotes.pop() {
                    desk.poisoned += 1;
                    desk.outgoing = desk.stage.work_on(quote);
                    desk.poisoned -= 1;
                    desk.pass_on().await?;
                }
            }
            Work::Settle(reply) => {
                if let Some(next) = &desk.next {
                    next.call(Work::Settle).await?;
                }
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}
