//! Counters that crash on demand, for `--crash-every`.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use counter_actor::{CounterActor, CounterHandle, CounterState};
use counter_protocol::{CounterMessage, CounterName};
use ractor::concurrency::oneshot;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::Lease;
use tokio::task::JoinHandle;

/// The ways to crash that an actor has a part in; a kill needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Panic,
    Error,
}

/// Which counters are to crash with their next message, and how.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<HashMap<CounterName, Fault>>);

impl Faults {
    /// Crashes one of these counters each time the period has passed.
    pub(super) fn crash_every(
        self: &Arc<Self>,
        period: Duration,
        counters: &[CounterHandle],
    ) -> JoinHandle<()> {
        let (faults, counters) = (Arc::clone(self), counters.to_vec());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                faults.crash(&counters[fastrand::usize(..counters.len())]);
            }
        })
    }

    /// No counter is to crash any more.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn crash(&self, counter: &CounterHandle) {
        let Ok(actor) = counter.actor() else { return };
        let fault = match fastrand::u8(..3) {
            0 => return actor.kill(),
            1 => Fault::Panic,
            _ => Fault::Error,
        };
        self.lock().insert(counter.name().clone(), fault);
        // A message for it to crash with, in case no other comes; the answer is not missed.
        let (port, _reply) = oneshot();
        let _ = actor.cast(CounterMessage::GetValue(port.into()));
    }

    fn take(&self, name: &CounterName) -> Option<Fault> {
        self.lock().remove(name)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CounterName, Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`CounterActor`] that crashes when it is told to.
#[derive(Clone, Debug)]
pub(super) struct FaultyCounter(Arc<Faults>);

impl FaultyCounter {
    pub(super) fn new(faults: &Arc<Faults>) -> Self {
        Self(Arc::clone(faults))
    }
}

impl Actor for FaultyCounter {
    type Msg = CounterMessage;
    type State = Lease<CounterState>;
    type Arguments = Lease<CounterState>;

    async fn pre_start(
        &self,
        myself: ActorRef<CounterMessage>,
        state: Lease<CounterState>,
    ) -> Result<Self::State, ActorProcessingErr> {
        CounterActor.pre_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<CounterMessage>,
        message: CounterMessage,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match self.0.take(state.name()) {
            None => CounterActor.handle(myself, message, state).await,
            Some(Fault::Error) => Err("an injected error".into()),
            // A panic in all but the lines on standard error, which would tear the table.
            Some(Fault::Panic) => resume_unwind(Box::new("an injected panic")),
        }
    }

    async fn post_stop(
        &self,
        myself: ActorRef<CounterMessage>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        CounterActor.post_stop(myself, state).await
    }
}
