use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_outbox::{Batch, Outbox, Parcel};

use crate::lease::{Lease, StateSlot};
use crate::spec::ChildSpec;

type Started = Pin<Box<dyn Future<Output = Result<(), ActorProcessingErr>> + Send>>;
type OnStart<M> = Arc<dyn Fn(ActorRef<M>) -> Started + Send + Sync>;

/// Actor that keeps its state and its senders' outboxes through restarts.
///
/// The actor gets a [`Lease`] of its state as its argument. However an incarnation ends, the state returns to a
/// [`StateSlot`]. The next incarnation leases it from there, and all outboxes are redirected. They close when the
/// child is retired: when it is removed, or its supervisor has shut down, given up or died.
///
/// ```
/// use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
/// use ractor_outbox::{Fifo, Parcel};
/// use ractor_supervision::{Lease, Options, SupervisedActor, SupervisorHandle};
///
/// enum Job {
///     Words(Parcel<Fifo<String>>),
///     Count(RpcReplyPort<usize>),
/// }
/// impl Message for Job {}
/// impl From<Parcel<Fifo<String>>> for Job {
///     fn from(parcel: Parcel<Fifo<String>>) -> Self {
///         Self::Words(parcel)
///     }
/// }
///
/// struct Worker;
/// impl Actor for Worker {
///     type Msg = Job;
///     type State = Lease<Vec<String>>;
///     type Arguments = Lease<Vec<String>>;
///
///     async fn pre_start(
///         &self,
///         _: ActorRef<Job>,
///         words: Lease<Vec<String>>,
///     ) -> Result<Lease<Vec<String>>, ActorProcessingErr> {
///         Ok(words)
///     }
///
///     async fn handle(
///         &self,
///         _: ActorRef<Job>,
///         job: Job,
///         words: &mut Lease<Vec<String>>,
///     ) -> Result<(), ActorProcessingErr> {
///         match job {
///             Job::Words(parcel) => {
///                 let Some(mut batch) = parcel.open() else { return Ok(()) };
///                 while let Some(word) = batch.pop() {
///                     words.push(word);
///                 }
///             }
///             Job::Count(reply) => _ = reply.send(words.len()),
///         }
///         Ok(())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let empty = Fifo::bounded(16.try_into()?);
/// let worker = SupervisedActor::new("worker", || Worker, Vec::new(), empty);
/// let outbox = worker.outbox();
/// let supervisor = SupervisorHandle::start(Options::default(), vec![worker.into()]).await?;
/// outbox.send("first".into()).await?;
/// outbox.actor().expect("it has started").kill();
/// outbox.send("second".into()).await?;
/// assert_eq!(outbox.call(Job::Count).await?, 2);
/// supervisor.shutdown().await;
/// assert!(outbox.is_closed());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct SupervisedActor<A, S, B>
where
    A: Actor<Arguments = Lease<S>, Msg: From<Parcel<B>>>,
    S: Send + 'static,
    B: Batch,
{
    id: Arc<str>,
    actor: Box<dyn Fn() -> A + Send + Sync>,
    state: StateSlot<S>,
    outbox: Outbox<B, A::Msg>,
    on_start: OnStart<A::Msg>,
}

impl<A, S, B> SupervisedActor<A, S, B>
where
    A: Actor<Arguments = Lease<S>, Msg: From<Parcel<B>>>,
    S: Send + 'static,
    B: Batch,
{
    /// Creates a permanent child with a unique name. `actor` creates the actor of each incarnation, the first one
    /// starts with `state`, and `empty` is the outboxes' first batch.
    #[must_use]
    pub fn new(
        id: impl Into<Arc<str>>,
        actor: impl Fn() -> A + Send + Sync + 'static,
        state: S,
        empty: B,
    ) -> Self {
        Self {
            id: id.into(),
            actor: Box::new(actor),
            state: StateSlot::new(state),
            outbox: Outbox::supervised(empty),
            on_start: Arc::new(|_| Box::pin(async { Ok(()) })),
        }
    }

    /// Sets a function to run for each incarnation once it has started, before it gets the contents of the outboxes
    /// (default: nothing). If it fails, the start has failed.
    #[must_use]
    pub fn on_start<F, Fut>(mut self, on_start: F) -> Self
    where
        F: Fn(ActorRef<A::Msg>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ActorProcessingErr>> + Send + 'static,
    {
        self.on_start = Arc::new(move |actor| Box::pin(on_start(actor)));
        self
    }

    /// Returns an outbox that follows the actor.
    #[must_use]
    pub fn outbox(&self) -> Outbox<B, A::Msg> {
        self.outbox.clone()
    }

    /// Returns the slot that holds the state while no incarnation does.
    #[must_use]
    pub fn state(&self) -> StateSlot<S> {
        self.state.clone()
    }
}

impl<A, S, B> From<SupervisedActor<A, S, B>> for ChildSpec
where
    A: Actor<Arguments = Lease<S>, Msg: From<Parcel<B>>>,
    S: Send + 'static,
    B: Batch,
{
    fn from(supervised: SupervisedActor<A, S, B>) -> Self {
        let SupervisedActor { id, actor, state, outbox, on_start } = supervised;
        let closing = CloseOnDrop(outbox.clone());
        Self::new(id, move |parent| {
            let (actor, state, outbox, on_start) =
                (actor(), state.clone(), outbox.clone(), Arc::clone(&on_start));
            async move {
                let (incarnation, _task) =
                    Actor::spawn_linked(None, actor, state.lease().await, parent).await?;
                on_start(incarnation.clone()).await?;
                outbox.redirect(incarnation.clone());
                Ok(incarnation.get_cell())
            }
        })
        .on_retire(move || closing.0.close())
    }
}

/// Closes the outboxes of a child whose supervisor died and could not retire it.
struct CloseOnDrop<B: Batch, M: Message + From<Parcel<B>>>(Outbox<B, M>);

impl<B: Batch, M: Message + From<Parcel<B>>> Drop for CloseOnDrop<B, M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<A, S, B> fmt::Debug for SupervisedActor<A, S, B>
where
    A: Actor<Arguments = Lease<S>, Msg: From<Parcel<B>>>,
    S: Send + 'static,
    B: Batch,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisedActor")
            .field("id", &self.id)
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}
