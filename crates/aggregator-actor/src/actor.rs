use std::time::Duration;

use counter_protocol::{AggregatedStats, AggregatorMessage, Answer, CounterName, Member};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use ractor_supervision::{End, Lease, OwnedTask};
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
pub struct AggregatorOptions {
    /// The time from one periodic collection to the next, more than zero; `None` to collect on request only.
    pub collect_every: Option<Duration>,
    /// How long one collection waits for the counters' answers.
    pub deadline: Duration,
}

impl Default for AggregatorOptions {
    /// Every 2 seconds, with a deadline of 1 second.
    fn default() -> Self {
        Self { collect_every: Some(Duration::from_secs(2)), deadline: Duration::from_secs(1) }
    }
}

/// What an aggregator starts from.
#[derive(Debug)]
pub struct AggregatorArguments {
    /// When and how it collects.
    pub options: AggregatorOptions,
    /// The counters it knows, on loan from where its next incarnation will find them.
    pub life: Lease<AggregatorLife>,
}

/// What an aggregator takes along through restarts.
#[derive(Debug, Default)]
pub struct AggregatorLife {
    roster: Roster<Member>,
    schedule: Schedule,
    /// When its first incarnation started.
    started: Option<Instant>,
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
    life: Lease<AggregatorLife>,
    started: Instant,
    deadline: Duration,
    _timer: Option<OwnedTask>,
    collection: Option<OwnedTask>,
}

impl AggregatorActor {
    /// Each new collection as it ends. A subscriber that is slower than the collections sees the latest only.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Collection> {
        self.collections.subscribe()
    }

    fn apply(
        &self,
        myself: &ActorRef<AggregatorMessage>,
        message: AggregatorMessage,
        state: &mut AggregatorState,
    ) {
        // A reply that nobody waits for any more is not an error.
        match message {
            AggregatorMessage::RegisterCounter { name, counter } => {
                state.register(myself, name, Member::Counter(counter));
            }
            AggregatorMessage::RegisterGroup { name, group } => {
                state.register(myself, name, Member::Group(group));
            }
            AggregatorMessage::ForgetCounter { name } => state.forget(myself, &name),
            AggregatorMessage::Parcel(parcel) => {
                let Some(mut opened) = parcel.open() else { return };
                while let Some(message) = opened.pop() {
                    self.apply(myself, message, state);
                }
            }
            AggregatorMessage::CollectStats => {
                if state.life.schedule.begin_unless_running() {
                    state.begin_collection(myself);
                }
            }
            AggregatorMessage::RequestCollection(reply) => {
                let (number, begin) = state.life.schedule.request();
                if begin {
                    state.begin_collection(myself);
                }
                let _ = reply.send(number);
            }
            AggregatorMessage::GetTotalStats(reply) => {
                let _ = reply.send(state.life.roster.totals());
            }
            AggregatorMessage::GetCounterStats(reply) => {
                let stats = state.life.roster.counter_stats().map(|(name, stats)| (name.clone(), stats));
                let _ = reply.send(stats.collect());
            }
            AggregatorMessage::CollectionEnded { answers } => {
                self.collections.send_replace(state.end_collection(myself, answers));
            }
        }
    }
}

impl AggregatorState {
    fn register(&mut self, myself: &ActorRef<AggregatorMessage>, name: CounterName, member: Member) {
        let cell = member.cell();
        myself.monitor(cell.clone());
        // From here on its end is an event; one that had ended before has left already.
        if cell.get_status() >= ActorStatus::Stopping {
            warn!(counter = %name, "not registered: the actor has stopped");
            return;
        }
        debug!(counter = %name, "registered");
        if let Some(displaced) = self.life.roster.register(name, member) {
            myself.unmonitor(displaced.cell());
        }
    }

    /// A new incarnation watches the counters that the last one knew, and makes good the collection that it lost.
    fn resume(&mut self, myself: &ActorRef<AggregatorMessage>) {
        let counters: Vec<_> = self.life.roster.counters().cloned().collect();
        for counter in counters {
            let cell = counter.cell();
            myself.monitor(cell.clone());
            if cell.get_status() >= ActorStatus::Stopping {
                self.life.roster.lose(&counter);
            }
        }
        if self.life.schedule.resume() {
            self.begin_collection(myself);
        }
    }

    fn forget(&mut self, myself: &ActorRef<AggregatorMessage>, name: &CounterName) {
        if let Some(counter) = self.life.roster.forget(name) {
            myself.unmonitor(counter.cell());
        }
    }

    /// Collects beside the mailbox; the answers come back as a message.
    fn begin_collection(&mut self, myself: &ActorRef<AggregatorMessage>) {
        let counters = self.life.roster.counters().cloned().collect();
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
        for Answer { member, report } in answers {
            match report {
                Some(report) => self.life.roster.hear(&member, report, now),
                None => _ = self.life.roster.lose(&member),
            }
        }
        let (number, begin_next) = self.life.schedule.end();
        if begin_next {
            self.begin_collection(myself);
        }
        Collection { number, stats: self.life.roster.totals() }
    }
}

impl Actor for AggregatorActor {
    type Msg = AggregatorMessage;
    type State = AggregatorState;
    type Arguments = AggregatorArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<AggregatorMessage>,
        AggregatorArguments { options, mut life }: AggregatorArguments,
    ) -> Result<AggregatorState, ActorProcessingErr> {
        let AggregatorOptions { collect_every, deadline } = options;
        if collect_every == Some(Duration::ZERO) {
            return Err("the time between two collections is zero: give a positive one, or none".into());
        }
        info!(?collect_every, ?deadline, "aggregator started");
        let timer =
            collect_every.map(|period| myself.send_interval(period, || AggregatorMessage::CollectStats));
        let started = *life.started.get_or_insert_with(Instant::now);
        let timer = timer.map(OwnedTask::from);
        let mut state = AggregatorState { life, started, deadline, _timer: timer, collection: None };
        state.resume(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<AggregatorMessage>,
        message: AggregatorMessage,
        state: &mut AggregatorState,
    ) -> Result<(), ActorProcessingErr> {
        self.apply(&myself, message, state);
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
            SupervisionEvent::ActorTerminated(who, _, reason) => match End::of_terminated(reason) {
                End::Normal => {
                    if let Some(name) = state.life.roster.leave(&member(who)) {
                        debug!(counter = %name, "counter left");
                    }
                }
                End::Failed(reason) => {
                    if let Some(name) = state.life.roster.lose(&member(who)) {
                        warn!(counter = %name, reason, "counter lost; its last known statistics are kept");
                    }
                }
            },
            SupervisionEvent::ActorFailed(who, error) => {
                if let Some(name) = state.life.roster.lose(&member(who)) {
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
        for counter in state.life.roster.counters() {
            myself.unmonitor(counter.cell());
        }
        info!("aggregator stopped");
        Ok(())
    }
}

/// Whoever this is, for members are equal if they are the same actor.
fn member(who: ActorCell) -> Member {
    Member::Counter(who.into())
}
