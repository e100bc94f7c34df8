use std::mem;

use counter_protocol::{Count, CounterMessage, CounterName, CounterStats, NameTooLong, Overflow};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::Lease;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::state::Counter;

/// The actor around a [`Counter`].
#[derive(Clone, Copy, Debug)]
pub struct CounterActor;

/// State of a counter, which it keeps through restarts.
#[derive(Debug)]
pub struct CounterState {
    name: CounterName,
    counter: Counter,
    /// Time at which the first incarnation started.
    started: Option<Instant>,
}

impl CounterState {
    /// Creates the state of a new counter, at 0 after no operations. The name appears in logs and errors and need not
    /// be unique.
    ///
    /// # Errors
    /// [`NameTooLong`].
    pub fn new(name: impl TryInto<CounterName, Error: Into<NameTooLong>>) -> Result<Self, NameTooLong> {
        Self::resuming(name, Count::default())
    }

    /// Creates the state of a counter that resumes from a value and the number of operations that have led to it.
    ///
    /// # Errors
    /// [`NameTooLong`].
    pub fn resuming(
        name: impl TryInto<CounterName, Error: Into<NameTooLong>>,
        count: Count,
    ) -> Result<Self, NameTooLong> {
        Ok(Self { name: CounterName::new(name)?, counter: Counter::from(count), started: None })
    }

    /// Returns the counter's name.
    #[must_use]
    pub const fn name(&self) -> &CounterName {
        &self.name
    }

    fn stats(&self) -> CounterStats {
        self.counter.stats(self.started.map(|started| started.elapsed()).unwrap_or_default())
    }

    /// Changes the counter, and logs a warning at its first rejected operation. Later rejections show in the
    /// statistics only.
    fn change(&mut self, change: impl FnOnce(&mut Counter) -> Result<(), Overflow>) {
        let counter = &mut self.counter;
        let rejected_before = counter.rejected();
        if change(counter).is_err() && rejected_before == 0 {
            warn!(
                counter = %self.name,
                value = counter.value(),
                "operation rejected because it would overflow the counter; further ones are only counted"
            );
        }
    }
}

impl Actor for CounterActor {
    type Msg = CounterMessage;
    type State = Lease<CounterState>;
    type Arguments = Lease<CounterState>;

    async fn pre_start(
        &self,
        _myself: ActorRef<CounterMessage>,
        mut state: Lease<CounterState>,
    ) -> Result<Lease<CounterState>, ActorProcessingErr> {
        if state.started.is_some() {
            state.counter.restarted();
        } else {
            state.started = Some(Instant::now());
        }
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
        state: &mut Lease<CounterState>,
    ) -> Result<(), ActorProcessingErr> {
        // The caller may have given up by now, so a failed reply is no error.
        match message {
            CounterMessage::Increment { amount } => state.change(|counter| counter.increment(amount)),
            CounterMessage::Decrement { amount } => state.change(|counter| counter.decrement(amount)),
            CounterMessage::Parcel(parcel) => {
                if let Some(mut opened) = parcel.open() {
                    state.change(|counter| counter.apply(mem::take(&mut *opened)));
                }
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
        state: &mut Lease<CounterState>,
    ) -> Result<(), ActorProcessingErr> {
        let stats = state.stats();
        debug!(
            counter = %state.name,
            value = stats.current_value,
            operations = stats.total_operations,
            rejected = stats.rejected_operations,
            "counter stopped"
        );
        Ok(())
    }
}
