use counter_protocol::{
    AggregatedStats, AggregatorMessage, CounterMessage, CounterName, CounterStats, GetGroupStats, NameTooLong,
};
use std::num::NonZeroUsize;

use ractor::{Actor, ActorRef, DerivedActorRef, RpcReplyPort, SpawnErr};
use ractor_outbox::{CallError, Fifo, Outbox};
use ractor_supervision::{ChildSpec, Lease, SupervisedActor};
use tokio::sync::watch;

use crate::actor::{AggregatorActor, AggregatorOptions, AggregatorState, Collection};
use crate::message::AggregatorInput;

/// Maximum number of registrations of one handle that wait for the aggregator. Beyond it, the caller waits.
const REGISTRATIONS: NonZeroUsize = NonZeroUsize::new(1_024).expect("1024 is not zero");

/// Handle on an aggregator. Clones speak to the same aggregator.
///
/// Registrations go through an [`Outbox`], so a supervised aggregator that crashes loses none.
///
/// Dropping handles does not stop the aggregator: [`shutdown`](Self::shutdown) does.
#[derive(Clone, Debug)]
pub struct AggregatorHandle {
    outbox: Outbox<Fifo<AggregatorMessage>, AggregatorInput>,
    collections: watch::Receiver<Collection>,
}

/// Error of an [`AggregatorHandle`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AggregatorError {
    /// The actor did not start, for instance because the time between two collections is zero.
    #[error("aggregator did not start")]
    Start(#[source] SpawnErr),
    /// The name is too long for a counter.
    #[error(transparent)]
    NameTooLong(#[from] NameTooLong),
    /// The aggregator has stopped for good, before or while it was asked.
    #[error("aggregator has stopped")]
    Stopped,
    /// The actor dropped the question. [`AggregatorActor`] never does, but a custom actor might.
    #[error("question dropped by the aggregator")]
    Unanswered,
}

impl AggregatorHandle {
    /// Starts an aggregator without counters.
    ///
    /// # Errors
    /// [`AggregatorError::Start`] if the arguments are out of range or the actor does not start.
    pub async fn start(options: AggregatorOptions) -> Result<Self, AggregatorError> {
        let aggregator = AggregatorActor::default();
        let collections = aggregator.subscribe();
        let state = Lease::from(AggregatorState::new(options));
        let (actor, _task) = Actor::spawn(None, aggregator, state).await.map_err(AggregatorError::Start)?;
        Ok(Self { outbox: Outbox::new(Fifo::bounded(REGISTRATIONS), actor), collections })
    }

    /// Returns an aggregator without counters for a supervisor to start, and a handle on it.
    #[must_use]
    pub fn supervised(options: AggregatorOptions) -> (Self, ChildSpec) {
        let aggregator = AggregatorActor::default();
        let collections = aggregator.subscribe();
        let empty = Fifo::bounded(REGISTRATIONS);
        let state = AggregatorState::new(options);
        let supervised = SupervisedActor::new("aggregator", move || aggregator.clone(), state, empty);
        (Self { outbox: supervised.outbox(), collections }, supervised.into())
    }

    /// Registers a counter under a name. Registering the same counter again changes nothing; another counter takes
    /// over a name that is in use; a counter that has stopped is not registered.
    ///
    /// # Errors
    /// [`AggregatorError::NameTooLong`], [`AggregatorError::Stopped`].
    pub async fn register(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        counter: ActorRef<CounterMessage>,
    ) -> Result<(), AggregatorError> {
        let name = CounterName::new(name)?;
        self.send(AggregatorMessage::RegisterCounter { name, counter }).await
    }

    /// Registers an actor that speaks for many counters, by the same rules as [`register`](Self::register).
    ///
    /// # Errors
    /// [`AggregatorError::NameTooLong`], [`AggregatorError::Stopped`].
    pub async fn register_group(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        group: DerivedActorRef<GetGroupStats>,
    ) -> Result<(), AggregatorError> {
        let name = CounterName::new(name)?;
        self.send(AggregatorMessage::RegisterGroup { name, group }).await
    }

    /// Removes the counter or group of this name, if there is one, and its statistics.
    ///
    /// # Errors
    /// [`AggregatorError::NameTooLong`], [`AggregatorError::Stopped`].
    pub async fn forget(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
    ) -> Result<(), AggregatorError> {
        let name = CounterName::new(name)?;
        self.send(AggregatorMessage::ForgetCounter { name }).await
    }

    /// Returns the totals as of the last collection, without waiting for counters.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`], [`AggregatorError::Unanswered`].
    pub async fn total_stats(&self) -> Result<AggregatedStats, AggregatorError> {
        self.call(AggregatorMessage::GetTotalStats).await
    }

    /// Returns each counter's statistics as of the last collection, in order of name, without waiting for counters.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`], [`AggregatorError::Unanswered`].
    pub async fn counter_stats(&self) -> Result<Vec<(CounterName, CounterStats)>, AggregatorError> {
        self.call(AggregatorMessage::GetCounterStats).await
    }

    /// Returns the totals of a collection that begins after this call. They include everything that was sent to the
    /// counters before, unless a counter does not answer. Takes at most the deadline, or twice that if a collection
    /// is running already.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`], [`AggregatorError::Unanswered`].
    pub async fn collect(&self) -> Result<AggregatedStats, AggregatorError> {
        let number = self.call(AggregatorMessage::RequestCollection).await?;
        let mut collections = self.subscribe();
        let fresh = collections.wait_for(|collection| collection.number >= number).await;
        fresh.map(|collection| collection.stats.clone()).map_err(|_| AggregatorError::Stopped)
    }

    /// Returns each new collection as it ends. A subscriber that is slower than the collections sees the latest only.
    /// The channel closes when the aggregator stops.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Collection> {
        self.collections.clone()
    }

    /// Lets the aggregator handle the messages it has been sent, and waits until it has stopped. A running collection
    /// is abandoned.
    ///
    /// A supervisor restarts a supervised aggregator, so shut down the supervisor instead.
    pub async fn shutdown(&self) {
        if let Some(actor) = self.outbox.actor() {
            // An error means that the aggregator has stopped or is about to.
            let _ = actor.drain();
            let _ = actor.wait(None).await;
        }
    }

    /// Returns the actor itself; of a supervised aggregator, its latest incarnation.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`] if a supervised aggregator has not started yet.
    pub fn actor(&self) -> Result<ActorRef<AggregatorInput>, AggregatorError> {
        self.outbox.actor().ok_or(AggregatorError::Stopped)
    }

    async fn send(&self, message: AggregatorMessage) -> Result<(), AggregatorError> {
        self.outbox.send(message).await.map_err(|_| AggregatorError::Stopped)
    }

    async fn call<T: Send + 'static>(
        &self,
        question: fn(RpcReplyPort<T>) -> AggregatorMessage,
    ) -> Result<T, AggregatorError> {
        self.outbox.call(|reply| question(reply).into()).await.map_err(|error| match error {
            CallError::Closed => AggregatorError::Stopped,
            CallError::Unanswered => AggregatorError::Unanswered,
        })
    }
}

#[cfg(test)]
mod tests {
    use ractor::ActorProcessingErr;

    use super::*;

    /// Drops each question that it is asked.
    struct Mute;

    impl Actor for Mute {
        type Msg = AggregatorInput;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<AggregatorInput>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_the_actor_drops_is_not_reported_as_its_end() {
        let outbox = Outbox::supervised(Fifo::bounded(REGISTRATIONS));
        let aggregator =
            AggregatorHandle { outbox: outbox.clone(), collections: AggregatorActor::default().subscribe() };
        let (mute, _task) = Actor::spawn(None, Mute, ()).await.unwrap();
        outbox.redirect(mute);
        assert!(matches!(aggregator.total_stats().await, Err(AggregatorError::Unanswered)));
        outbox.close();
        assert!(matches!(aggregator.total_stats().await, Err(AggregatorError::Stopped)));
    }
}
