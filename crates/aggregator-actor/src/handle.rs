use counter_protocol::{AggregatedStats, AggregatorMessage, CounterMessage, CounterName, CounterStats};
use ractor::rpc::CallResult;
use ractor::{Actor, ActorRef, RpcReplyPort, SpawnErr};
use tokio::sync::watch;

use crate::{AggregatorActor, AggregatorArguments, Collection};

/// What callers hold of an aggregator. Clones speak to the same aggregator.
///
/// Dropping handles does not stop the aggregator: [`shutdown`](Self::shutdown) does.
#[derive(Clone, Debug)]
pub struct AggregatorHandle {
    actor: ActorRef<AggregatorMessage>,
    collections: watch::Receiver<Collection>,
}

/// Why an aggregator could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    /// The actor did not start, for instance because the time between two collections is zero.
    #[error("start the aggregator")]
    Start(#[source] SpawnErr),
    /// The aggregator has stopped, before or while it was asked.
    #[error("reach the aggregator: it has stopped; start it again and register the counters")]
    Stopped,
}

impl AggregatorHandle {
    /// Starts an aggregator without counters.
    ///
    /// # Errors
    /// [`AggregatorError::Start`] if the arguments are out of range or the actor does not start.
    pub async fn spawn(arguments: AggregatorArguments) -> Result<Self, AggregatorError> {
        let aggregator = AggregatorActor::default();
        let collections = aggregator.subscribe();
        let (actor, _task) =
            Actor::spawn(None, aggregator, arguments).await.map_err(AggregatorError::Start)?;
        Ok(Self { actor, collections })
    }

    /// Watches a counter under a name. The same again changes nothing; another counter under a name that is taken
    /// takes its place; a counter that has stopped is not registered.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`].
    pub fn register(
        &self,
        name: CounterName,
        counter: ActorRef<CounterMessage>,
    ) -> Result<(), AggregatorError> {
        self.cast(AggregatorMessage::RegisterCounter { name, counter })
    }

    /// Stops watching the counter of this name, if there is one, and drops its statistics.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`].
    pub fn forget(&self, name: CounterName) -> Result<(), AggregatorError> {
        self.cast(AggregatorMessage::ForgetCounter { name })
    }

    /// The totals as of the last collection, at once.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`].
    pub async fn total_stats(&self) -> Result<AggregatedStats, AggregatorError> {
        self.call(AggregatorMessage::GetTotalStats).await
    }

    /// Each counter's statistics as of the last collection, in order of name, at once.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`].
    pub async fn counter_stats(&self) -> Result<Vec<(CounterName, CounterStats)>, AggregatorError> {
        self.call(AggregatorMessage::GetCounterStats).await
    }

    /// The totals of a collection that begins from now on: everything that counters have been sent before is in
    /// it, unless a counter does not answer. Takes at most the deadline, twice if a collection runs already.
    ///
    /// # Errors
    /// [`AggregatorError::Stopped`].
    pub async fn collect(&self) -> Result<AggregatedStats, AggregatorError> {
        let number = self.call(AggregatorMessage::RequestCollection).await?;
        let mut collections = self.subscribe();
        let fresh = collections.wait_for(|collection| collection.number >= number).await;
        fresh.map(|collection| collection.stats.clone()).map_err(|_| AggregatorError::Stopped)
    }

    /// Each new collection as it ends. A subscriber that is slower than the collections sees the latest only; the
    /// channel closes when the aggregator stops.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Collection> {
        self.collections.clone()
    }

    /// Lets the aggregator finish what is in its mailbox, and waits until it is gone. A running collection is
    /// abandoned.
    pub async fn shutdown(&self) {
        // An error means that it has stopped or is about to.
        let _ = self.actor.drain();
        let _ = self.actor.wait(None).await;
    }

    /// The actor itself.
    #[must_use]
    pub const fn actor(&self) -> &ActorRef<AggregatorMessage> {
        &self.actor
    }

    fn cast(&self, message: AggregatorMessage) -> Result<(), AggregatorError> {
        self.actor.cast(message).map_err(|_| AggregatorError::Stopped)
    }

    async fn call<T: Send + 'static>(
        &self,
        question: fn(RpcReplyPort<T>) -> AggregatorMessage,
    ) -> Result<T, AggregatorError> {
        match self.actor.call(question, None).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::SenderError | CallResult::Timeout) | Err(_) => Err(AggregatorError::Stopped),
        }
    }
}
