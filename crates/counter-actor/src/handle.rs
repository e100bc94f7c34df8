use counter_protocol::{CounterMessage, CounterName, CounterStats, Delta, NameTooLong};
use ractor::{Actor, ActorRef, RpcReplyPort, SpawnErr};
use ractor_outbox::{CallError, Metrics, Outbox};
use ractor_supervision::Lease;

use crate::actor::{CounterActor, CounterState};

/// Handle on a counter. Clones speak to the same counter; give each sender its own, so that they do not contend.
///
/// Operations go through an [`Outbox`]: while they wait for the counter they are folded into one, so any number of
/// them takes no more memory than one, and a supervised counter that crashes loses none. Operations that were folded
/// are rejected together if their sum would overflow the counter.
///
/// Dropping handles does not stop the counter: [`shutdown`](Self::shutdown) does.
#[derive(Clone, Debug)]
pub struct CounterHandle {
    name: CounterName,
    outbox: Outbox<Delta, CounterMessage>,
}

/// Error of a [`CounterHandle`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The name is too long for a counter.
    #[error(transparent)]
    NameTooLong(#[from] NameTooLong),
    /// The actor did not start.
    #[error("counter `{name}` did not start")]
    Start {
        /// Name of the counter.
        name: CounterName,
        /// Error from `ractor`.
        #[source]
        source: SpawnErr,
    },
    /// The counter has stopped for good: the operation was not and will not be applied, the question not answered.
    #[error("counter `{name}` has stopped")]
    Stopped {
        /// Name of the counter.
        name: CounterName,
    },
    /// The actor dropped the question. [`CounterActor`] never does, but a custom actor might.
    #[error("question dropped by counter `{name}`")]
    Unanswered {
        /// Name of the counter.
        name: CounterName,
    },
}

impl CounterHandle {
    /// Starts a counter.
    ///
    /// # Errors
    /// [`CounterError::Start`] if the actor does not start.
    pub async fn start(state: impl Into<Lease<CounterState>>) -> Result<Self, CounterError> {
        let state = state.into();
        let name = state.name().clone();
        match Actor::spawn(None, CounterActor, state).await {
            Ok((actor, _task)) => Ok(Self { name, outbox: Outbox::new(Delta::default(), actor) }),
            Err(source) => Err(CounterError::Start { name, source }),
        }
    }

    /// Creates a handle on a supervised counter, whose supervisor redirects the outbox.
    #[must_use]
    pub const fn supervised(name: CounterName, outbox: Outbox<Delta, CounterMessage>) -> Self {
        Self { name, outbox }
    }

    /// Adds `amount`, which may be negative. Does not wait for the counter; a rejection shows in the statistics.
    ///
    /// # Errors
    /// [`CounterError::Stopped`].
    #[inline]
    pub fn increment(&self, amount: i64) -> Result<(), CounterError> {
        self.send(amount.into())
    }

    /// Subtracts `amount`, which may be negative. Does not wait for the counter; a rejection shows in the statistics.
    ///
    /// # Errors
    /// [`CounterError::Stopped`].
    #[inline]
    pub fn decrement(&self, amount: i64) -> Result<(), CounterError> {
        self.send(-i128::from(amount))
    }

    /// Returns the value, after everything that this handle has sent before. Waits for the counter without a time
    /// limit.
    ///
    /// # Errors
    /// [`CounterError::Stopped`], [`CounterError::Unanswered`].
    pub async fn value(&self) -> Result<i64, CounterError> {
        self.call(CounterMessage::GetValue).await
    }

    /// Returns the statistics, after everything that this handle has sent before. Waits for the counter without a
    /// time limit.
    ///
    /// # Errors
    /// [`CounterError::Stopped`], [`CounterError::Unanswered`].
    pub async fn stats(&self) -> Result<CounterStats, CounterError> {
        self.call(CounterMessage::GetStats).await
    }

    /// Lets the counter handle the messages it has been sent, and waits until it has stopped. Later operations are
    /// errors.
    ///
    /// A supervisor restarts a supervised counter, so shut down the supervisor instead.
    pub async fn shutdown(&self) {
        if let Some(actor) = self.outbox.actor() {
            // An error means that the counter has stopped or is about to.
            let _ = actor.drain();
            let _ = actor.wait(None).await;
        }
    }

    /// Returns the counter's name, as it appears in logs and errors.
    #[must_use]
    pub const fn name(&self) -> &CounterName {
        &self.name
    }

    /// Returns the actor itself, to register with an aggregator, monitor or kill; of a supervised counter, its latest
    /// incarnation. A message that is cast to it directly may overtake the contents of the outbox.
    ///
    /// # Errors
    /// [`CounterError::Stopped`] if a supervised counter has not started yet.
    pub fn actor(&self) -> Result<ActorRef<CounterMessage>, CounterError> {
        self.outbox.actor().ok_or_else(|| self.stopped())
    }

    /// Returns counts of this handle's operations by outcome. Clones have their own.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.outbox.metrics()
    }

    #[inline]
    fn send(&self, amount: i128) -> Result<(), CounterError> {
        // A delta is never full.
        self.outbox.try_send(amount).map_err(|_| self.stopped())
    }

    async fn call<T: Send + 'static>(
        &self,
        question: fn(RpcReplyPort<T>) -> CounterMessage,
    ) -> Result<T, CounterError> {
        self.outbox.call(question).await.map_err(|error| match error {
            CallError::Closed => self.stopped(),
            CallError::Unanswered => CounterError::Unanswered { name: self.name.clone() },
        })
    }

    #[cold]
    fn stopped(&self) -> CounterError {
        CounterError::Stopped { name: self.name.clone() }
    }
}
