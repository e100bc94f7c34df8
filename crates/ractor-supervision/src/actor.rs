use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, Message, RpcReplyPort, SupervisionEvent};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::{Backoff, ChildSpec, ChildStatus, Children, Decision, Due, End, Intensity, OwnedTask, Strategy};

/// How many events wait for a slow subscriber. One that is slower is told how many it has missed.
const EVENTS: usize = 1_024;

/// The actor around [`Children`]. It is the parent of its children in ractor's sense: if it is killed, so are they.
#[derive(Clone, Debug)]
pub struct Supervisor {
    events: broadcast::Sender<Event>,
}

/// How a supervisor treats its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which children are restarted when one fails.
    pub strategy: Strategy,
    /// When restarting is given up.
    pub intensity: Intensity,
    /// How long to wait between restarts.
    pub backoff: Backoff,
}

/// Something that has happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The child.
    pub child: Arc<str>,
    /// What has happened.
    pub news: News,
}

/// What can happen to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It was started for the first time.
    Started,
    /// It has ended, and not because the supervisor stopped it.
    Ended(End),
    /// It did not start again.
    NotRestarted {
        /// Why.
        reason: String,
    },
    /// It was started again, so often by now.
    Restarted {
        /// Failed attempts included.
        restarts: u64,
    },
    /// The supervisor has given up over it.
    GivenUp,
}

/// What a supervisor understands.
pub enum SupervisorMessage {
    /// Starts a child, after the others.
    StartChild(ChildSpec, RpcReplyPort<Result<(), ActorProcessingErr>>),
    /// Stops a child in order and forgets it; false if there is none of this name.
    RemoveChild(Arc<str>, RpcReplyPort<bool>),
    /// Asks for all children, in order of start.
    GetChildren(RpcReplyPort<Vec<ChildStatus>>),
    /// The supervisor's note to itself that a wait is over.
    Restart(Vec<Due>),
}

impl Message for SupervisorMessage {}

/// A running supervisor.
#[derive(Debug)]
pub struct SupervisorState {
    children: Children<ActorCell>,
    specs: HashMap<Arc<str>, ChildSpec>,
    /// The waits for the next start, by the child that has caused each.
    waits: HashMap<Arc<str>, OwnedTask>,
    started: Instant,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(EVENTS) }
    }
}

impl Supervisor {
    /// What happens to the children from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn tell(&self, child: &Arc<str>, news: News) {
        // An error means that nobody has subscribed.
        let _ = self.events.send(Event { child: Arc::clone(child), news });
    }

    async fn start_child(
        &self,
        myself: ActorCell,
        spec: ChildSpec,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        if state.specs.contains_key(&spec.id) {
            return Err(format!("there is a child called {} already", spec.id).into());
        }
        let child = spec.start(myself).await?;
        debug!(child = %spec.id, "child started");
        state.children.add(Arc::clone(&spec.id), spec.restart, child, state.started.elapsed());
        self.tell(&spec.id, News::Started);
        state.specs.insert(Arc::clone(&spec.id), spec);
        Ok(())
    }

    /// Starts those that are still due, in order. If one does not start, those after it wait for it.
    async fn restart(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        due: Vec<Due>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let mut due = due.into_iter();
        while let Some((id, ticket)) = due.next() {
            let Some(spec) = state.specs.get(&id) else { continue };
            if !state.children.is_due(&(Arc::clone(&id), ticket)) {
                continue;
            }
            match spec.start(myself.get_cell()).await {
                Ok(child) => {
                    let restarts = state.children.restarted(&id, child, state.started.elapsed());
                    warn!(child = %id, restarts, "child restarted");
                    self.tell(&id, News::Restarted { restarts });
                }
                Err(reason) => {
                    let reason = reason.to_string();
                    warn!(child = %id, reason, "child did not start again");
                    self.tell(&id, News::NotRestarted { reason: reason.clone() });
                    let now = state.started.elapsed();
                    let decision = state.children.not_restarted(&id, reason, now, fastrand::f64());
                    return self.carry_out(myself, &id, decision, due.collect(), state).await;
                }
            }
        }
        Ok(())
    }

    /// `rest` are restarts that were due behind this child's and go on waiting with it.
    async fn carry_out(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        id: &Arc<str>,
        decision: Decision<ActorCell>,
        rest: Vec<Due>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match decision {
            Decision::Nothing => Ok(()),
            Decision::Restart { stop, mut start, after } => {
                for (id, child) in &stop {
                    state.stop(id, child).await;
                }
                start.extend(rest);
                state.restart_after(myself, id, start, after);
                Ok(())
            }
            Decision::GiveUp => {
                error!(child = %id, "given up: too many restarts");
                self.tell(id, News::GivenUp);
                state.stop_all().await;
                Err(format!("given up over child {id}: too many restarts").into())
            }
        }
    }

    async fn child_ended(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        child: &ActorCell,
        end: End,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.started.elapsed();
        let (id, decision) = state.children.ended(child, end.clone(), now, fastrand::f64());
        // Not a child any more: stopped by us.
        let Some(id) = id else { return Ok(()) };
        match &end {
            End::Normal => debug!(child = %id, "child ended"),
            End::Failed(reason) => warn!(child = %id, reason, "child failed"),
        }
        self.tell(&id, News::Ended(end));
        if !state.children.contains(&id) {
            state.specs.remove(&id);
        }
        self.carry_out(myself, &id, decision, Vec::new(), state).await
    }
}

impl SupervisorState {
    /// By message even without a wait: events of those just stopped come before it, and hold their leases.
    fn restart_after(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        id: &Arc<str>,
        start: Vec<Due>,
        after: Duration,
    ) {
        let myself = myself.clone();
        let wait = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // An error means that the supervisor has stopped.
            let _ = myself.cast(SupervisorMessage::Restart(start));
        });
        self.waits.insert(Arc::clone(id), wait.into());
    }

    async fn stop(&self, id: &Arc<str>, child: &ActorCell) {
        if let Some(spec) = self.specs.get(id) {
            spec.stop(child).await;
        }
    }

    async fn stop_all(&self) {
        for (id, child) in self.children.running_in_reverse() {
            self.stop(id, child).await;
        }
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = (Options, Vec<ChildSpec>);

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        (Options { strategy, intensity, backoff }, specs): (Options, Vec<ChildSpec>),
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let children = Children::new(strategy, intensity, backoff);
        let mut state = SupervisorState {
            children,
            specs: HashMap::new(),
            waits: HashMap::new(),
            started: Instant::now(),
        };
        for spec in specs {
            let id = Arc::clone(&spec.id);
            if let Err(reason) = self.start_child(myself.get_cell(), spec, &mut state).await {
                state.stop_all().await;
                return Err(format!("child {id} did not start: {reason}").into());
            }
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        // A reply that nobody waits for any more is not an error.
        match message {
            SupervisorMessage::StartChild(spec, reply) => {
                let _ = reply.send(self.start_child(myself.get_cell(), spec, state).await);
            }
            SupervisorMessage::RemoveChild(id, reply) => {
                let (removed, running) = state.children.remove(&id);
                if let Some(child) = running {
                    state.stop(&id, &child).await;
                }
                state.specs.remove(&id);
                let _ = reply.send(removed);
            }
            SupervisorMessage::GetChildren(reply) => {
                let _ = reply.send(state.children.status(state.started.elapsed()).collect());
            }
            SupervisorMessage::Restart(due) => self.restart(&myself, due, state).await?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(child, lease, reason) => {
                drop(lease);
                self.child_ended(&myself, &child, End::of_terminated(reason), state).await
            }
            SupervisionEvent::ActorFailed(child, reason) => {
                self.child_ended(&myself, &child, End::Failed(reason.to_string()), state).await
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.stop_all().await;
        Ok(())
    }
}

impl fmt::Debug for SupervisorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartChild(spec, _) => f.debug_tuple("StartChild").field(spec).finish_non_exhaustive(),
            Self::RemoveChild(id, _) => f.debug_tuple("RemoveChild").field(id).finish_non_exhaustive(),
            Self::GetChildren(_) => f.debug_tuple("GetChildren").finish_non_exhaustive(),
            Self::Restart(due) => f.debug_tuple("Restart").field(due).finish(),
        }
    }
}
