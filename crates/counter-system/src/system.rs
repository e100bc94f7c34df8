use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions};
use counter_actor::{CounterActor, CounterHandle, CounterState};
use counter_protocol::{AggregatedStats, Count, CounterMessage, CounterName, Delta, NameTooLong};
use futures_util::future::join_all;
use ractor::Actor;
use ractor_outbox::Outbox;
use ractor_supervision::{Lease, Options, SupervisorError, SupervisorHandle};
use tokio::sync::Mutex;

use crate::children;

/// Deadline for the counters to apply the operations they have accepted, at a shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Supervised counters and their supervised aggregator.
///
/// `A` is the counters' actor: [`CounterActor`], or a custom one that wraps it.
#[derive(Debug)]
pub struct CounterSystem<A = CounterActor> {
    supervisor: SupervisorHandle,
    aggregator: AggregatorHandle,
    counters: Arc<Mutex<Counters>>,
    actor: A,
}

/// Options for collecting statistics and for restarting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemOptions {
    /// Options of the aggregator.
    pub aggregator: AggregatorOptions,
    /// Options of the supervisor.
    pub supervision: Options,
}

/// Error of a [`CounterSystem`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// The name is too long for a counter.
    #[error(transparent)]
    NameTooLong(#[from] NameTooLong),
    /// The system or a counter did not start, or the system has stopped.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// Outboxes that all handles are clones of.
type Counters = HashMap<CounterName, Outbox<Delta, CounterMessage>>;

impl CounterSystem {
    /// Starts a system without counters.
    ///
    /// # Errors
    /// [`SystemError`] if the aggregator does not start, for instance because its options are out of range.
    pub async fn start(options: SystemOptions) -> Result<Self, SystemError> {
        Self::start_with(options, CounterActor).await
    }
}

impl<A> CounterSystem<A>
where
    A: Actor<Msg = CounterMessage, Arguments = Lease<CounterState>> + Clone,
{
    /// Starts a system with custom counter actors.
    ///
    /// # Errors
    /// [`SystemError`] if the aggregator does not start, for instance because its options are out of range.
    pub async fn start_with(options: SystemOptions, actor: A) -> Result<Self, SystemError> {
        let (aggregator, spec) = AggregatorHandle::supervised(options.aggregator);
        let supervisor = SupervisorHandle::start(options.supervision, vec![spec]).await?;
        Ok(Self { supervisor, aggregator, counters: Arc::default(), actor })
    }

    /// Returns a handle on the counter of this name, and starts it at 0 if there is none yet. A counter takes 7 to 10
    /// KB.
    ///
    /// # Errors
    /// [`SystemError`] if the name is too long, the counter does not start, or the system has stopped.
    pub async fn counter(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
    ) -> Result<CounterHandle, SystemError> {
        self.counter_resuming(name, Count::default()).await
    }

    /// Returns a handle on the counter of this name. If there is none yet, it is started, and resumes from a value
    /// and the number of operations that have led to it.
    ///
    /// # Errors
    /// [`SystemError`] if the name is too long, the counter does not start, or the system has stopped.
    pub async fn counter_resuming(
        &self,
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        count: Count,
    ) -> Result<CounterHandle, SystemError> {
        let name = CounterName::new(name)?;
        let mut counters = Arc::clone(&self.counters).lock_owned().await;
        if let Some(outbox) = counters.get(&name) {
            return Ok(CounterHandle::supervised(name, outbox.clone()));
        }
        let state = CounterState::resuming(name.clone(), count)?;
        let counter = children::counter(state, self.actor.clone(), self.aggregator.clone());
        let outbox = counter.outbox();
        let (supervisor, entry) = (self.supervisor.clone(), (name.clone(), outbox.clone()));
        // A task of its own registers the child even if this caller stops waiting.
        let start = tokio::spawn(async move {
            supervisor.start_child(counter.into()).await?;
            counters.extend([entry]);
            Ok::<_, SupervisorError>(())
        });
        // The task fails to finish only if the runtime ends.
        start.await.map_err(|_| SupervisorError::Stopped)??;
        Ok(CounterHandle::supervised(name, outbox))
    }

    /// Returns the aggregator of all counters of this system.
    #[must_use]
    pub const fn aggregator(&self) -> &AggregatorHandle {
        &self.aggregator
    }

    /// Returns the supervisor, to inspect its children or to subscribe to restarts.
    #[must_use]
    pub const fn supervisor(&self) -> &SupervisorHandle {
        &self.supervisor
    }

    /// Stops the counters and the aggregator, waits until all have stopped, and returns the final statistics.
    ///
    /// Handles return errors from now on. Every operation that was accepted before is applied first, even if its
    /// counter crashes meanwhile. The exception is a counter that has not applied all of them within 5 seconds, or
    /// whose system has given up: it is [`unanswered`](AggregatedStats::unanswered), and its statistics are missing.
    pub async fn shutdown(self) -> AggregatedStats {
        let stats = self.drain().await;
        self.supervisor.shutdown().await;
        stats
    }

    /// Rejects operations from now on and waits until those accepted before have been applied. Returns the counters
    /// that did not finish as unanswered.
    async fn drain(&self) -> AggregatedStats {
        let counters = self.counters.lock().await;
        let drained = counters.iter().map(|(name, outbox)| async move {
            let stats = self.supervisor.drain(outbox, DRAIN_DEADLINE, CounterMessage::GetStats).await;
            stats.as_ref().map_or_else(
                || AggregatedStats {
                    num_counters: 1,
                    unanswered: [name.clone()].into(),
                    ..AggregatedStats::default()
                },
                AggregatedStats::of_counter,
            )
        });
        join_all(drained).await.into_iter().collect()
    }
}
