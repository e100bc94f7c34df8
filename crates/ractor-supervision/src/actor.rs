use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::children::{Children, Decision, ExitReason, Ticket};
use crate::message::{ChildEvent, Event, SupervisorMessage};
use crate::restart::{Backoff, Intensity, Strategy};
use crate::spec::ChildSpec;
use crate::start::{Starter, TakeOver};
use crate::task::OwnedTask;

/// Maximum number of events that wait for a slow subscriber. A slower one is told how many it has missed.
const EVENTS: usize = 1_024;

/// The actor around [`Children`]. It is the parent of its children in ractor's sense: if it is killed, so are they.
///
/// It never waits for a start. A separate actor does, beside the mailbox.
#[derive(Clone, Debug)]
pub struct Supervisor {
    events: broadcast::Sender<Event>,
}

/// Restart policy of a supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Choice of children to restart when one fails.
    pub strategy: Strategy,
    /// Limit beyond which restarting is given up.
    pub intensity: Intensity,
    /// Wait between restarts.
    pub backoff: Backoff,
}

/// State of a running supervisor.
#[derive(Debug)]
pub struct SupervisorState {
    children: Children<ActorCell>,
    /// In an order that does not depend on chance, in which they are retired.
    specs: BTreeMap<Arc<str>, Arc<ChildSpec>>,
    /// Callers that wait for the first start of a child.
    callers: BTreeMap<Arc<str>, StartReply>,
    /// Pending waits before restarts.
    waits: Vec<(Ticket, OwnedTask)>,
    started: Instant,
}

type StartReply = RpcReplyPort<Result<(), ActorProcessingErr>>;

impl Default for Supervisor {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(EVENTS) }
    }
}

impl Supervisor {
    /// Returns the events of all children from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn tell(&self, child: &Arc<str>, kind: ChildEvent) {
        // An error means that there are no subscribers.
        let _ = self.events.send(Event { child: Arc::clone(child), kind });
    }

    async fn start_child(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        spec: ChildSpec,
        caller: StartReply,
        state: &mut SupervisorState,
    ) {
        let id = Arc::clone(&spec.id);
        if state.specs.contains_key(&id) {
            let _ = caller.send(Err(format!("there is a child called {id} already").into()));
            return;
        }
        let ticket = state.children.enqueue(Arc::clone(&id), spec.restart, state.started.elapsed());
        state.specs.insert(Arc::clone(&id), Arc::new(spec));
        state.callers.insert(id, caller);
        if let Some(ticket) = ticket {
            self.start_next(myself, ticket, state).await;
        }
    }

    async fn remove_child(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        id: &Arc<str>,
        state: &mut SupervisorState,
    ) -> bool {
        if let Some(spec) = state.specs.get(id) {
            spec.retire();
        }
        let ticket = state.children.start_under_way(id);
        let (removed, actor) = state.children.remove(id);
        if let Some(actor) = actor {
            state.stop(id, &actor).await;
        }
        state.forget(id);
        if let Some(ticket) = ticket {
            self.start_next(myself, ticket, state).await;
        }
        removed
    }

    /// Starts the child that is due with this ticket, if there is one.
    async fn start_next(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        ticket: Ticket,
        state: &mut SupervisorState,
    ) {
        if let Some(id) = state.children.due(ticket).cloned()
            && let Some(spec) = state.specs.get(&id)
        {
            // An error means that this supervisor is about to stop, and takes no more children.
            if let Ok(starter) = Starter::spawn(myself, Arc::clone(spec)).await {
                state.children.starting(&id, starter);
            }
        }
    }

    async fn child_started(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        starter: &ActorCell,
        child: ActorCell,
        state: &mut SupervisorState,
    ) {
        // A start that was cancelled does not belong to a child any more.
        let Some(id) = state.children.id_of(starter).cloned() else { return };
        let ticket = state.children.start_under_way(&id);
        match state.children.restarted(&id, child, state.started.elapsed()) {
            0 => {
                debug!(child = %id, "child started");
                self.tell(&id, ChildEvent::Started);
            }
            restarts => {
                warn!(child = %id, restarts, "child restarted");
                self.tell(&id, ChildEvent::Restarted { restarts });
            }
        }
        if let Some(caller) = state.callers.remove(&id) {
            let _ = caller.send(Ok(()));
        }
        // An error means that the starter has ended, and with it everything that it has started.
        let _ = starter.send_message(TakeOver);
        if let Some(ticket) = ticket {
            self.start_next(myself, ticket, state).await;
        }
    }

    /// Handles the end of a starter. It matters only if its child has not started.
    async fn starter_ended(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        starter: &ActorCell,
        reason: ActorProcessingErr,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(id) = state.children.id_of(starter).cloned() else { return Ok(()) };
        let ticket = state.children.start_under_way(&id);
        let now = state.started.elapsed();
        let decision = state.children.not_restarted(&id, reason.to_string(), now, fastrand::f64());
        if let Some(caller) = state.callers.remove(&id) {
            let _ = caller.send(Err(reason));
        } else {
            let reason = reason.to_string();
            warn!(child = %id, reason, "child did not start again");
            self.tell(&id, ChildEvent::NotRestarted { reason });
        }
        state.forget_removed();
        self.carry_out(myself, &id, decision, state).await?;
        if let Some(ticket) = ticket {
            // Children that were to be started after a new child do not depend on it.
            self.start_next(myself, ticket, state).await;
        }
        Ok(())
    }

    async fn child_ended(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        child: &ActorCell,
        end: ExitReason,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.started.elapsed();
        let (id, decision) = state.children.ended(child, end.clone(), now, fastrand::f64());
        // Not a child any more: this supervisor has stopped it.
        let Some(id) = id else { return Ok(()) };
        match &end {
            ExitReason::Normal => debug!(child = %id, "child ended"),
            ExitReason::Failed(reason) => warn!(child = %id, reason, "child failed"),
        }
        self.tell(&id, ChildEvent::Ended(end));
        if !state.children.contains(&id)
            && let Some(spec) = state.specs.remove(&id)
        {
            spec.retire();
        }
        self.carry_out(myself, &id, decision, state).await
    }

    async fn carry_out(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        id: &Arc<str>,
        decision: Decision<ActorCell>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match decision {
            Decision::Nothing => Ok(()),
            Decision::Restart { stop, ticket, after } => {
                for (id, actor) in &stop {
                    state.stop(id, actor).await;
                }
                state.forget_removed();
                state.restart_after(myself, ticket, after);
                Ok(())
            }
            Decision::GiveUp => {
                error!(child = %id, "given up: too many restarts");
                self.tell(id, ChildEvent::GivenUp);
                state.stop_all().await;
                Err(format!("given up over child {id}: too many restarts").into())
            }
        }
    }
}

impl SupervisorState {
    /// Schedules a restart, as a message even without a wait. Events of children that were just stopped come before
    /// it, and hold their leases.
    fn restart_after(&mut self, myself: &ActorRef<SupervisorMessage>, ticket: Ticket, after: Duration) {
        let myself = myself.clone();
        let wait = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // An error means that the supervisor has stopped.
            let _ = myself.cast(SupervisorMessage::Restart(ticket));
        });
        self.waits.push((ticket, wait.into()));
    }

    /// Stops a child, or cancels its start.
    async fn stop(&mut self, id: &Arc<str>, actor: &ActorCell) {
        let Some(spec) = self.specs.get(id) else { return };
        let stopped = if Starter::is(actor) { spec.cancel(actor).await } else { spec.stop(actor).await };
        if let Err(stuck) = stopped {
            self.children.stuck(id, stuck.to_string());
        }
    }

    async fn stop_all(&mut self) {
        self.specs.values().for_each(|spec| spec.retire());
        let running: Vec<_> =
            self.children.running_in_reverse().map(|(id, actor)| (Arc::clone(id), actor.clone())).collect();
        for (id, actor) in running {
            self.stop(&id, &actor).await;
        }
    }

    /// Retires and forgets those that are not children any more.
    fn forget_removed(&mut self) {
        if self.specs.len() == self.children.len() {
            return;
        }
        let removed: Vec<_> =
            self.specs.keys().filter(|id| !self.children.contains(id)).map(Arc::clone).collect();
        for id in removed {
            self.specs[&id].retire();
            self.forget(&id);
        }
    }

    /// Forgets everything about a child that was removed.
    fn forget(&mut self, id: &Arc<str>) {
        self.specs.remove(id);
        if let Some(caller) = self.callers.remove(id) {
            let _ = caller.send(Err(format!("child {id} was removed before it had started").into()));
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
        let mut state = SupervisorState {
            children: Children::new(strategy, intensity, backoff),
            specs: BTreeMap::new(),
            callers: BTreeMap::new(),
            waits: Vec::new(),
            started: Instant::now(),
        };
        for spec in specs {
            let id = Arc::clone(&spec.id);
            let started = if state.specs.contains_key(&id) {
                Err("its name is taken".into())
            } else {
                spec.start(myself.get_cell()).await
            };
            match started {
                Ok(child) => {
                    state.children.add(Arc::clone(&id), spec.restart, child, state.started.elapsed());
                    self.tell(&id, ChildEvent::Started);
                    state.specs.insert(id, Arc::new(spec));
                }
                Err(reason) => {
                    state.stop_all().await;
                    return Err(format!("child {id} did not start: {reason}").into());
                }
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
        // The caller may have given up by now, so a failed reply is no error.
        match message {
            SupervisorMessage::StartChild(spec, caller) => {
                self.start_child(&myself, spec, caller, state).await;
            }
            SupervisorMessage::RemoveChild(id, reply) => {
                let _ = reply.send(self.remove_child(&myself, &id, state).await);
            }
            SupervisorMessage::GetChildren(reply) => {
                let _ = reply.send(state.children.status(state.started.elapsed()).collect());
            }
            SupervisorMessage::Restart(ticket) => {
                state.waits.retain(|(waiting, _)| *waiting != ticket);
                self.start_next(&myself, ticket, state).await;
            }
            SupervisorMessage::Started { starter, child } => {
                self.child_started(&myself, &starter, child, state).await;
            }
            SupervisorMessage::Ended(child, end) => self.child_ended(&myself, &child, end, state).await?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, end) = match event {
            SupervisionEvent::ActorFailed(actor, reason) if Starter::is(&actor) => {
                return self.starter_ended(&myself, &actor, reason, state).await;
            }
            SupervisionEvent::ActorTerminated(actor, _, reason) if Starter::is(&actor) => {
                let reason = reason.unwrap_or_else(|| "its start was stopped".into());
                return self.starter_ended(&myself, &actor, reason.into(), state).await;
            }
            SupervisionEvent::ActorTerminated(actor, lease, reason) => {
                drop(lease);
                (actor, ExitReason::of_terminated(reason))
            }
            SupervisionEvent::ActorFailed(actor, reason) => (actor, ExitReason::Failed(reason.to_string())),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => return Ok(()),
        };
        self.child_ended(&myself, &actor, end, state).await
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
