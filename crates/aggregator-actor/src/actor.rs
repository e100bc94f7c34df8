use std::time::Duration;

use counter_protocol::{AggregatedStats, AggregatorMessage, CounterName};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use ractor_supervision::{ExitReason, Lease, OwnedTask};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::collect::collect;
use crate::member::{Answer, Member};
use crate::message::{AggregatorInput, Input};
use crate::roster::Roster;
use crate::schedule::Schedule;

/// The actor around a [`Roster`] and a [`Schedule`]. It publishes each collection to its subscribers.
#[derive(Clone, Debug, Default)]
pub struct AggregatorActor {
    collections: watch::Sender<Collection>,
}

/// Timing of an aggregator's collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregatorOptions {
    /// Interval between periodic collections, more than zero. `None` collects on request only.
    pub collect_every: Option<Duration>,
    /// Maximum time that one collection waits for the counters' answers.
    pub deadline: Duration,
}

impl Default for AggregatorOptions {
    /// Every 2 seconds, with a deadline of 1 second.
    fn default() -> Self {
        Self { collect_every: Some(Duration::from_secs(2)), deadline: Duration::from_secs(1) }
    }
}

/// State of an aggregator, which it keeps through restarts: the counters it knows.
#[derive(Debug, Default)]
pub struct AggregatorState {
    options: AggregatorOptions,
    roster: Roster<Member>,
    schedule: Schedule,
    /// Time at which the first incarnation started.
    started: Option<Instant>,
}

impl AggregatorState {
    /// Creates the state of an aggregator that knows no counters.
    #[must_use]
    pub fn new(options: AggregatorOptions) -> Self {
        Self { options, ..Self::default() }
    }
}

/// Result of one collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Number of the collection, counted from 1; 0 before the first.
    pub number: u64,
    /// Totals at the end of the collection.
    pub stats: AggregatedStats,
}

/// Running aggregator.
#[derive(Debug)]
pub struct Incarnation {
    state: Lease<AggregatorState>,
    started: Instant,
    _timer: Option<OwnedTask>,
    collection: Option<OwnedTask>,
}

impl AggregatorActor {
    /// Returns each new collection as it ends. A subscriber that is slower than the collections sees the latest only.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Collection> {
        self.collections.subscribe()
    }
}

impl Incarnation {
    fn apply(&mut self, myself: &ActorRef<AggregatorInput>, message: AggregatorMessage) {
        // The caller may have given up by now, so a failed reply is no error.
        match message {
            AggregatorMessage::RegisterCounter { name, counter } => {
                self.register(myself, name, Member::Counter(counter));
            }
            AggregatorMessage::RegisterGroup { name, group } => {
                self.register(myself, name, Member::Group(group));
            }
            AggregatorMessage::ForgetCounter { name } => self.forget(myself, &name),
            AggregatorMessage::CollectStats => {
                if self.state.schedule.begin_unless_running() {
                    self.begin_collection(myself);
                }
            }
            AggregatorMessage::RequestCollection(reply) => {
                let (number, begin) = self.state.schedule.request();
                if begin {
                    self.begin_collection(myself);
                }
                let _ = reply.send(number);
            }
            AggregatorMessage::GetTotalStats(reply) => {
                let _ = reply.send(self.state.roster.totals());
            }
            AggregatorMessage::GetCounterStats(reply) => {
                let stats = self.state.roster.counter_stats().map(|(name, stats)| (name.clone(), stats));
                let _ = reply.send(stats.collect());
            }
        }
    }

    fn register(&mut self, myself: &ActorRef<AggregatorInput>, name: CounterName, member: Member) {
        let cell = member.cell();
        myself.monitor(cell.clone());
        // A counter that ends from here on causes an event; one that had ended before has left already.
        if cell.get_status() >= ActorStatus::Stopping {
            warn!(counter = %name, "not registered: the actor has stopped");
            return;
        }
        debug!(counter = %name, "registered");
        if let Some(displaced) = self.state.roster.register(name, member) {
            myself.unmonitor(displaced.cell());
        }
    }

    /// Monitors the counters that the previous incarnation knew, and repeats the collection that was lost with it.
    fn resume(&mut self, myself: &ActorRef<AggregatorInput>) {
        let counters: Vec<_> = self.state.roster.counters().cloned().collect();
        for counter in counters {
            let cell = counter.cell();
            myself.monitor(cell.clone());
            if cell.get_status() >= ActorStatus::Stopping {
                self.state.roster.lose(&counter);
            }
        }
        if self.state.schedule.resume() {
            self.begin_collection(myself);
        }
    }

    fn forget(&mut self, myself: &ActorRef<AggregatorInput>, name: &CounterName) {
        if let Some(counter) = self.state.roster.forget(name) {
            myself.unmonitor(counter.cell());
        }
    }

    /// Collects in a task beside the mailbox. The answers come back as a message.
    fn begin_collection(&mut self, myself: &ActorRef<AggregatorInput>) {
        let counters = self.state.roster.counters().cloned().collect();
        let deadline = Instant::now() + self.state.options.deadline;
        let myself = myself.clone();
        let task = tokio::spawn(async move {
            let answers = collect(counters, deadline).await;
            // An error means that the aggregator has stopped, so nobody needs the answers.
            let _ = myself.cast(AggregatorInput(Input::CollectionEnded(answers)));
        });
        self.collection = Some(task.into());
    }

    fn end_collection(&mut self, myself: &ActorRef<AggregatorInput>, answers: Vec<Answer>) -> Collection {
        let now = self.started.elapsed();
        for Answer { member, report } in answers {
            match report {
                Some(report) => self.state.roster.hear(&member, report, now),
                None => _ = self.state.roster.lose(&member),
            }
        }
        let (number, begin_next) = self.state.schedule.end();
        if begin_next {
            self.begin_collection(myself);
        }
        Collection { number, stats: self.state.roster.totals() }
    }
}

impl Actor for AggregatorActor {
    type Msg = AggregatorInput;
    type State = Incarnation;
    type Arguments = Lease<AggregatorState>;

    async fn pre_start(
        &self,
        myself: ActorRef<AggregatorInput>,
        mut state: Lease<AggregatorState>,
    ) -> Result<Incarnation, ActorProcessingErr> {
        let AggregatorOptions { collect_every, deadline } = state.options;
        if collect_every == Some(Duration::ZERO) {
            return Err("the time between two collections is zero: give a positive one, or none".into());
        }
        info!(?collect_every, ?deadline, "aggregator started");
        let timer = collect_every
            .map(|period| myself.send_interval(period, || AggregatorMessage::CollectStats.into()));
        let started = *state.started.get_or_insert_with(Instant::now);
        let timer = timer.map(OwnedTask::from);
        let mut incarnation = Incarnation { state, started, _timer: timer, collection: None };
        incarnation.resume(&myself);
        Ok(incarnation)
    }

    async fn handle(
        &self,
        myself: ActorRef<AggregatorInput>,
        AggregatorInput(input): AggregatorInput,
        state: &mut Incarnation,
    ) -> Result<(), ActorProcessingErr> {
        match input {
            Input::Message(message) => state.apply(&myself, message),
            Input::Parcel(parcel) => {
                if let Some(mut batch) = parcel.open() {
                    while let Some(message) = batch.pop() {
                        state.apply(&myself, message);
                    }
                }
            }
            Input::CollectionEnded(answers) => {
                self.collections.send_replace(state.end_collection(&myself, answers));
            }
        }
        Ok(())
    }

    /// Counters are monitored, not supervised: their own supervisor restarts them.
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<AggregatorInput>,
        event: SupervisionEvent,
        state: &mut Incarnation,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => match ExitReason::of_terminated(reason) {
                ExitReason::Normal => {
                    if let Some(name) = state.state.roster.leave(&member(who)) {
                        debug!(counter = %name, "counter left");
                    }
                }
                ExitReason::Failed(reason) => {
                    if let Some(name) = state.state.roster.lose(&member(who)) {
                        warn!(counter = %name, reason, "counter lost; its last known statistics are kept");
                    }
                }
            },
            SupervisionEvent::ActorFailed(who, error) => {
                if let Some(name) = state.state.roster.lose(&member(who)) {
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
        myself: ActorRef<AggregatorInput>,
        state: &mut Incarnation,
    ) -> Result<(), ActorProcessingErr> {
        for counter in state.state.roster.counters() {
            myself.unmonitor(counter.cell());
        }
        info!("aggregator stopped");
        Ok(())
    }
}

/// Returns a member for this actor. Members are equal if they are the same actor, so its type does not matter.
fn member(who: ActorCell) -> Member {
    Member::Counter(who.into())
}
