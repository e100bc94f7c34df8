use std::mem;

use counter_protocol::{CounterMessage, CounterName, CounterStats, NameTooLong};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::Lease;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{Counter, CounterError, Refused};

/// The actor around a [`Counter`].
#[derive(Clone, Copy, Debug)]
pub struct CounterActor;

/// What a counter starts from.
#[derive(Debug)]
pub struct CounterArguments {
    /// What logs and errors call it. It need not be unique.
    pub name: CounterName,
    /// The counter, on loan from where its next incarnation will find it.
    pub life: Lease<CounterLife>,
}

/// What a counter takes along through restarts.
#[derive(Debug)]
pub struct CounterLife {
    counter: Counter,
    /// When its first incarnation started.
    started: Option<Instant>,
}

impl CounterArguments {
    /// A new counter, at 0 after no operations.
    ///
    /// # Errors
    /// [`CounterError::NameTooLong`].
    pub fn new(name: impl TryInto<CounterName, Error: Into<NameTooLong>>) -> Result<Self, CounterError> {
        Self::resuming(name, 0, 0)
    }

    /// A counter that goes on from a value, and from the number of operations that have led to it.
    ///
    /// # Errors
    /// [`CounterError::NameTooLong`].
    pub fn resuming(
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        value: i64,
        operations: u64,
    ) -> Result<Self, CounterError> {
        Ok(Self {
            name: CounterName::new(name)?,
            life: CounterLife::from(Counter::new(value, operations)).into(),
        })
    }
}

impl From<Counter> for CounterLife {
    /// Before the first incarnation.
    fn from(counter: Counter) -> Self {
        Self { counter, started: None }
    }
}

/// A running counter.
#[derive(Debug)]
pub struct CounterState {
    name: CounterName,
    life: Lease<CounterLife>,
    started: Instant,
}

impl CounterState {
    fn stats(&self) -> CounterStats {
        self.life.counter.stats(self.started.elapsed())
    }

    /// Warns of the counter's first refusal. That is worth a line; a flood of them is in the statistics.
    fn change(&mut self, change: impl FnOnce(&mut Counter) -> Result<(), Refused>) {
        let counter = &mut self.life.counter;
        let refused_before = counter.refused();
        if change(counter).is_err() && refused_before == 0 {
            warn!(
                counter = %self.name,
                value = counter.value(),
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
        CounterArguments { name, mut life }: CounterArguments,
    ) -> Result<CounterState, ActorProcessingErr> {
        let started = match life.started {
            None => *life.started.insert(Instant::now()),
            Some(started) => {
                life.counter.restarted();
                started
            }
        };
        let state = CounterState { name, life, started };
        let stats = state.stats();
        debug!(
            counter = %state.name,
            value = stats.current_value,
            operations = stats.total_operations,
            restarts = stats.restarts,
            "counter started"
        );
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        state: &mut CounterState,
    ) -> Result<(), ActorProcessingErr> {
        // A reply that nobody waits for any more is not an error.
        match message {
            CounterMessage::Increment { amount } => state.change(|counter| counter.increment(amount)),
            CounterMessage::Decrement { amount } => state.change(|counter| counter.decrement(amount)),
            CounterMessage::Parcel(parcel) => {
                if let Some(mut opened) = parcel.open() {
                    state.change(|counter| counter.apply(mem::take(&mut *opened)));
                }
            }
            CounterMessage::GetValue(reply) => {
                let _ = reply.send(state.life.counter.value());
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
