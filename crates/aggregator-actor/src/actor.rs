use std::time::Duration;

use counter_protocol::{AggregatedStats, AggregatorMessage, Answer, CounterMessage, CounterName};
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use ractor_supervision::OwnedTask;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::collect::collect;
use crate::{Roster, Schedule};

/// The actor around a [`Roster`] and a [`Schedule`]. It publishes each collection to its subscribers.
#[derive(Clone, Debug, Default)]
pub struct AggregatorActor {
    collections: watch::Sender<Collection>,
}

/// When and how an aggregator collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregatorArguments {
    /// The time from one periodic collection to the next, more than zero; `None` to collect on request only.
    pub collect_every: Option<Duration>,
    /// How long one collection waits for the counters' answers.
    pub deadline: Duration,
}

impl Default for AggregatorArguments {
    /// Every 2 seconds, with a deadline of 1 second.
    fn default() -> Self {
        Self { collect_every: Some(Duration::from_secs(2)), deadline: Duration::from_secs(1) }
    }
}

/// What one collection found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Counts collections from 1; 0 before the first.
    pub number: u64,
    /// The totals at its end.
    pub stats: AggregatedStats,
}

/// A running aggregator.
#[derive(Debug)]
pub struct AggregatorState {
    roster: Roster<ActorRef<CounterMessage>>,
    schedule: Schedule,
    deadline: Duration,
    started: Instant,
    _timer: Option<OwnedTask>,
    collection: Option<OwnedTask>,
}

impl AggregatorActor {
    /// Each new collection as it ends. A subscriber that is slower than the collections sees the latest only.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Collection> {
        self.collections.subscribe()
    }
}

impl AggregatorState {
    fn register(
        &mut self,
        myself: &ActorRef<AggregatorMessage>,
        name: CounterName,
        counter: ActorRef<CounterMessage>,
    ) {
        myself.monitor(counter.get_cell());
        // From here on its end is an event; one that had ended before has left already.
        if counter.get_status() >= ActorStatus::Stopping {
            warn!(counter = %name, "not registered: the counter has stopped");
            return;
        }
        debug!(counter = %name, "counter registered");
        if let Some(displaced) = self.roster.register(name, counter) {
            myself.unmonitor(displaced.get_cell());
        }
    }

    fn forget(&mut self, myself: &ActorRef<AggregatorMessage>, name: &CounterName) {
        if let Some(counter) = self.roster.forget(name) {
            myself.unmonitor(counter.get_cell());
        }
    }

    /// Collects beside the mailbox; the answers come back as a message.
    fn begin_collection(&mut self, myself: &ActorRef<AggregatorMessage>) {
        let counters = self.roster.counters().cloned().collect();
        let deadline = Instant::now() + self.deadline;
        let myself = myself.clone();
        let task = tokio::spawn(async move {
            let answers = collect(counters, deadline).await;
            // An error means that the aggregator has stopped, and nobody is interested any more.
            let _ = myself.cast(AggregatorMessage::CollectionEnded { answers });
        });
        self.collection = Some(task.into());
    }

    fn end_collection(&mut self, myself: &ActorRef<AggregatorMessage>, answers: Vec<Answer>) -> Collection {
        let now = self.started.elapsed();
        for Answer { counter, stats } in answers {
            match stats {
                Some(stats) => self.roster.hear(&counter, stats, now),
                None => _ = self.roster.lose(&counter),
            }
        }
        let (number, begin_next) = self.schedule.end();
        if begin_next {
            self.begin_collection(myself);
        }
        Collection { number, stats: self.roster.totals() }
    }
}

impl Actor for AggregatorActor {
    type Msg = AggregatorMessage;
    type State = AggregatorState;
    type Arguments = AggregatorArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<AggregatorMessage>,
        AggregatorArguments { collect_every, deadline }: AggregatorArguments,
    ) -> Result<AggregatorState, ActorProcessingErr> {
        if collect_every == Some(Duration::ZERO) {
            return Err("the time between two collections is zero: give a positive one, or none".into());
        }
        info!(?collect_every, ?deadline, "aggregator started");
        let timer =
            collect_every.map(|period| myself.send_interval(period, || AggregatorMessage::CollectStats));
        Ok(AggregatorState {
            roster: Roster::default(),
            schedule: Schedule::default(),
            deadline,
            started: Instant::now(),
            _timer: timer.map(OwnedTask::from),
            collection: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<AggregatorMessage>,
        message: AggregatorMessage,
        state: &mut AggregatorState,
    ) -> Result<(), ActorProcessingErr> {
        // A reply that nobody waits for any more is not an error.
        match message {
            AggregatorMessage::RegisterCounter { name, counter } => state.register(&myself, name, counter),
            AggregatorMessage::ForgetCounter { name } => state.forget(&myself, &name),
            AggregatorMessage::CollectStats => {
                if state.schedule.begin_unless_running() {
                    state.begin_collection(&myself);
                }
            }
            AggregatorMessage::RequestCollection(reply) => {
                let (number, begin) = state.schedule.request();
                if begin {
                    state.begin_collection(&myself);
                }
                let _ = reply.send(number);
            }
            AggregatorMessage::GetTotalStats(reply) => {
                let _ = reply.send(state.roster.totals());
            }
            AggregatorMessage::GetCounterStats(reply) => {
                let stats = state.roster.counter_stats().map(|(name, stats)| (name.clone(), stats));
                let _ = reply.send(stats.collect());
            }
            AggregatorMessage::CollectionEnded { answers } => {
                self.collections.send_replace(state.end_collection(&myself, answers));
            }
        }
        Ok(())
    }

    /// Counters are monitored, not supervised: whoever started them restarts them.
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<AggregatorMessage>,
        event: SupervisionEvent,
        state: &mut AggregatorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, _, reason) if !died(reason.as_deref()) => {
                if let Some(name) = state.roster.leave(&who.into()) {
                    debug!(counter = %name, "counter left");
                }
            }
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                if let Some(name) = state.roster.lose(&who.into()) {
                    warn!(counter = %name, reason, "counter lost; its last known statistics are kept");
                }
            }
            SupervisionEvent::ActorFailed(who, error) => {
                if let Some(name) = state.roster.lose(&who.into()) {
                    warn!(counter = %name, error, "counter lost; its last known statistics are kept");
                }
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<AggregatorMessage>,
        state: &mut AggregatorState,
    ) -> Result<(), ActorProcessingErr> {
        for counter in state.roster.counters() {
            myself.unmonitor(counter.get_cell());
        }
        info!("aggregator stopped");
        Ok(())
    }
}

/// Whether ractor 0.16.5 gives this reason for an actor that was killed or whose task was cancelled.
fn died(reason: Option<&str>) -> bool {
    matches!(reason, Some("killed" | "actor_task_cancelled"))
}
