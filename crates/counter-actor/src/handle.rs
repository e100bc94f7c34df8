use counter_protocol::{CounterMessage, CounterName, CounterStats};
use ractor::rpc::CallResult;
use ractor::{Actor, ActorRef, RpcReplyPort, SpawnErr};

use crate::{CounterActor, CounterArguments};

/// What callers hold of a counter. Clones speak to the same counter.
///
/// Dropping handles does not stop the counter: [`shutdown`](Self::shutdown) does.
#[derive(Clone, Debug)]
pub struct CounterHandle {
    name: CounterName,
    actor: ActorRef<CounterMessage>,
}

/// Why a counter could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum CounterError {
    /// The actor did not start.
    #[error("start counter `{name}`")]
    Start {
        /// The counter.
        name: CounterName,
        /// What ractor says.
        #[source]
        source: SpawnErr,
    },
    /// The counter had stopped before: the operation was not and will not be applied.
    #[error("reach counter `{name}`: it has stopped; start it again")]
    Stopped {
        /// The counter.
        name: CounterName,
    },
    /// The counter stopped with the question in its mailbox.
    #[error("get an answer from counter `{name}`: it stopped first; start it again")]
    Unanswered {
        /// The counter.
        name: CounterName,
    },
}

impl CounterHandle {
    /// Starts a counter.
    ///
    /// # Errors
    /// [`CounterError::Start`] if the actor does not start.
    pub async fn spawn(arguments: CounterArguments) -> Result<Self, CounterError> {
        let name = arguments.name.clone();
        match Actor::spawn(None, CounterActor, arguments).await {
            Ok((actor, _task)) => Ok(Self { name, actor }),
            Err(source) => Err(CounterError::Start { name, source }),
        }
    }

    /// Adds `amount`, which may be negative. Fire and forget: a refusal shows in the statistics.
    ///
    /// # Errors
    /// [`CounterError::Stopped`].
    pub fn increment(&self, amount: i64) -> Result<(), CounterError> {
        self.cast(CounterMessage::Increment { amount })
    }

    /// Subtracts `amount`, which may be negative. Fire and forget: a refusal shows in the statistics.
    ///
    /// # Errors
    /// [`CounterError::Stopped`].
    pub fn decrement(&self, amount: i64) -> Result<(), CounterError> {
        self.cast(CounterMessage::Decrement { amount })
    }

    /// The value, after everything that this caller has sent before. Waits for as long as the counter takes.
    ///
    /// # Errors
    /// [`CounterError::Stopped`], [`CounterError::Unanswered`].
    pub async fn value(&self) -> Result<i64, CounterError> {
        self.call(CounterMessage::GetValue).await
    }

    /// The statistics, after everything that this caller has sent before. Waits for as long as the counter takes.
    ///
    /// # Errors
    /// [`CounterError::Stopped`], [`CounterError::Unanswered`].
    pub async fn stats(&self) -> Result<CounterStats, CounterError> {
        self.call(CounterMessage::GetStats).await
    }

    /// Lets the counter finish what is in its mailbox, and waits until it is gone. Later operations are errors.
    pub async fn shutdown(&self) {
        // An error means that it has stopped or is about to.
        let _ = self.actor.drain();
        let _ = self.actor.wait(None).await;
    }

    /// What logs and errors call it.
    #[must_use]
    pub const fn name(&self) -> &CounterName {
        &self.name
    }

    /// The actor itself, to register with an aggregator, monitor or kill.
    #[must_use]
    pub const fn actor(&self) -> &ActorRef<CounterMessage> {
        &self.actor
    }

    fn cast(&self, message: CounterMessage) -> Result<(), CounterError> {
        self.actor.cast(message).map_err(|_| CounterError::Stopped { name: self.name.clone() })
    }

    async fn call<T: Send + 'static>(
        &self,
        question: fn(RpcReplyPort<T>) -> CounterMessage,
    ) -> Result<T, CounterError> {
        match self.actor.call(question, None).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::SenderError | CallResult::Timeout) => {
                Err(CounterError::Unanswered { name: self.name.clone() })
            }
            Err(_) => Err(CounterError::Stopped { name: self.name.clone() }),
        }
    }
}
