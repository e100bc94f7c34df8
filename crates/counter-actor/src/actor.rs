use counter_protocol::{CounterMessage, CounterName, CounterStats};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{Counter, Refused};

/// The actor around a [`Counter`]. Its mailbox is `ractor`'s and has no bound: who may flood it should wait for a
/// [`GetValue`](CounterMessage::GetValue) now and then.
#[derive(Clone, Copy, Debug)]
pub struct CounterActor;

/// What a counter starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterArguments {
    /// What logs and errors call it. It need not be unique.
    pub name: CounterName,
    /// The value to go on from.
    pub initial_value: i64,
    /// How many operations have led to that value.
    pub initial_operations: u64,
}

impl CounterArguments {
    /// A new counter, at 0 after no operations.
    pub fn new(name: impl Into<CounterName>) -> Self {
        Self { name: name.into(), initial_value: 0, initial_operations: 0 }
    }
}

/// A running counter: the pure state, and when it started.
#[derive(Debug)]
pub struct CounterState {
    name: CounterName,
    counter: Counter,
    started: Instant,
}

impl CounterState {
    fn stats(&self) -> CounterStats {
        self.counter.stats(self.started.elapsed())
    }

    /// The first refusal is worth a line; a flood of them is in the statistics.
    fn warn_of_first(&self, outcome: Result<(), Refused>) {
        if outcome.is_err() && self.counter.refused() == 1 {
            warn!(
                counter = %self.name,
                value = self.counter.value(),
                "refused an operation that would overflow the counter; further refusals are only counted"
            );
        }
    }
}

impl Actor for CounterActor {
    type Msg = CounterMessage;
    type State = CounterState;
    type Arguments = CounterArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<CounterMessage>,
        CounterArguments { name, initial_value, initial_operations }: CounterArguments,
    ) -> Result<CounterState, ActorProcessingErr> {
        debug!(counter = %name, initial_value, initial_operations, "counter started");
        let counter = Counter::new(initial_value, initial_operations);
        Ok(CounterState { name, counter, started: Instant::now() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        state: &mut CounterState,
    ) -> Result<(), ActorProcessingErr> {
        // A reply that nobody waits for any more is not an error.
        match message {
            CounterMessage::Increment { amount } => {
                let outcome = state.counter.increment(amount);
                state.warn_of_first(outcome);
            }
            CounterMessage::Decrement { amount } => {
                let outcome = state.counter.decrement(amount);
                state.warn_of_first(outcome);
            }
            CounterMessage::GetValue(reply) => {
                let _ = reply.send(state.counter.value());
            }
            CounterMessage::GetStats(reply) => {
                let _ = reply.send(state.stats());
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<CounterMessage>,
        state: &mut CounterState,
    ) -> Result<(), ActorProcessingErr> {
        let stats = state.stats();
        debug!(
            counter = %state.name,
            value = stats.current_value,
            operations = stats.total_operations,
            refused = stats.refused_operations,
            "counter stopped"
        );
        Ok(())
    }
}
