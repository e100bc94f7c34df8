use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::restart::Window;
use crate::{Backoff, Intensity, Restart, Strategy};

/// What a supervisor knows of its children, and what it decides when one ends. Pure: `R` refers to a running child,
/// times are since the supervisor's start, and randomness comes in as a number from 0 to 1.
#[derive(Debug)]
pub struct Children<R> {
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    /// By number, in order of start.
    children: BTreeMap<u64, Child<R>>,
    by_id: HashMap<Arc<str>, u64>,
    /// Those that run or are being started.
    by_ref: HashMap<R, u64>,
    next_child: u64,
    window: Window,
    next_ticket: u64,
}

#[derive(Debug)]
struct Child<R> {
    id: Arc<str>,
    restart: Restart,
    state: State<R>,
    since: Duration,
    /// It has not run yet: it is forgotten if it does not start.
    is_new: bool,
    restarts: u64,
    failures_in_a_row: u32,
    last_failure: Option<String>,
}

#[derive(Debug)]
enum State<R> {
    Running(R),
    /// Waits for its turn among those with this ticket; an earlier ticket is void.
    Waiting(Ticket),
    /// Is being started by this starter.
    Starting(Ticket, R),
    Finished,
}

impl<R> State<R> {
    /// The actor that runs, or that starts it.
    const fn actor(&self) -> Option<&R> {
        match self {
            Self::Running(actor) | Self::Starting(_, actor) => Some(actor),
            Self::Waiting(_) | Self::Finished => None,
        }
    }

    const fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Waiting(ticket) | Self::Starting(ticket, _) => Some(*ticket),
            Self::Running(_) | Self::Finished => None,
        }
    }
}

/// How a child has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It stopped, or was stopped, in order.
    Normal,
    /// It failed, or did not start.
    Failed(String),
}

impl ExitReason {
    /// How an actor has ended whose `ActorTerminated` event gives this reason. `Failed` is one that was killed or whose
    /// task was cancelled, in the words that ractor 0.16.5 has for it.
    #[must_use]
    pub fn of_terminated(reason: Option<String>) -> Self {
        match reason {
            Some(reason) if matches!(&*reason, "killed" | "actor_task_cancelled") => Self::Failed(reason),
            Some(_) | None => Self::Normal,
        }
    }
}

/// Stands for children that are to be started one after the other. It is void for those to which something else has
/// happened since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Unique, and greater than those before.
    serial: u64,
    /// The number of the first child.
    first: u64,
}

/// What is to be done now that a child has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<R> {
    /// It was not a child any more, or it need not be restarted.
    Nothing,
    /// Stop these, in this order, then after a wait start those with the ticket.
    Restart {
        /// Children that run or are being started, by whom, the last started first. They are restarted as well, or
        /// forgotten already.
        stop: Vec<(Arc<str>, R)>,
        /// For all that are to be started.
        ticket: Ticket,
        /// The wait.
        after: Duration,
    },
    /// Too many restarts: stop all children and fail.
    GiveUp,
}

/// A child, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Its name.
    pub id: Arc<str>,
    /// What it is doing.
    pub state: ChildState,
    /// For how long.
    pub since: Duration,
    /// How often it has been started again, failed attempts included.
    pub restarts: u64,
    /// Why it failed last, if it ever did.
    pub last_failure: Option<String>,
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// It is to be started for the first time: it waits for its turn, or its start is not over.
    Starting,
    /// It runs.
    Running,
    /// It is to be started again: it waits, or its start is not over.
    Restarting,
    /// It has ended in order, and is not restarted.
    Finished,
}

impl<R: Clone + Eq + Hash> Children<R> {
    /// No children yet.
    #[must_use]
    pub fn new(strategy: Strategy, intensity: Intensity, backoff: Backoff) -> Self {
        Self {
            strategy,
            intensity,
            backoff,
            children: BTreeMap::new(),
            by_id: HashMap::new(),
            by_ref: HashMap::new(),
            next_child: 0,
            window: Window::default(),
            next_ticket: 0,
        }
    }

    /// Returns the number of children.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.len()
    }

    /// Returns true without children.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Whether there is a child of this name.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// A new child runs. It must not be there yet.
    pub fn add(&mut self, id: Arc<str>, restart: Restart, running: R, now: Duration) {
        let number = self.insert(id, restart, State::Finished, now);
        self.set_running(number, running, now);
    }

    /// A new child is to be started. It must not be there yet. The ticket is due at once; without one, others have to
    /// start first, and theirs is this child's as well.
    #[must_use]
    pub fn enqueue(&mut self, id: Arc<str>, restart: Restart, now: Duration) -> Option<Ticket> {
        let others = match self.strategy {
            Strategy::OneForOne => None,
            Strategy::RestForOne => {
                let last = self.children.values().rev().find(|child| !matches!(child.state, State::Finished));
                last.and_then(|child| child.state.ticket())
            }
        };
        let ticket = others.unwrap_or_else(|| self.ticket_from(self.next_child));
        self.insert(id, restart, State::Waiting(ticket), now);
        others.is_none().then_some(ticket)
    }

    /// The child that is to be started next with this ticket. None while one of them is being started.
    #[must_use]
    pub fn due(&self, ticket: Ticket) -> Option<&Arc<str>> {
        let last = match self.strategy {
            Strategy::OneForOne => ticket.first,
            Strategy::RestForOne => u64::MAX,
        };
        let mut children = self.children.range(ticket.first..=last).map(|(_, child)| child);
        let first = children.find(|child| child.state.ticket() == Some(ticket))?;
        matches!(first.state, State::Waiting(_)).then_some(&first.id)
    }

    /// A child that was due is being started by `starter`.
    pub fn starting(&mut self, id: &str, starter: R) {
        let Some((number, child)) = self.get_mut(id) else { return };
        if let State::Waiting(ticket) = child.state {
            child.state = State::Starting(ticket, starter.clone());
            self.by_ref.insert(starter, number);
        }
    }

    /// The child that runs as this actor, or is being started by it.
    #[must_use]
    pub fn id_of(&self, actor: &R) -> Option<&Arc<str>> {
        Some(&self.children.get(self.by_ref.get(actor)?)?.id)
    }

    /// The ticket with which this child is being started, if it is.
    #[must_use]
    pub fn start_under_way(&self, id: &str) -> Option<Ticket> {
        match self.children.get(self.by_id.get(id)?)?.state {
            State::Starting(ticket, _) => Some(ticket),
            State::Running(_) | State::Waiting(_) | State::Finished => None,
        }
    }

    /// Forgets a child, and returns it if it runs, or its starter if it is being started. False if there is none.
    pub fn remove(&mut self, id: &str) -> (bool, Option<R>) {
        let child = self.by_id.remove(id).and_then(|number| self.children.remove(&number));
        let actor = child.as_ref().and_then(|child| child.state.actor()).cloned();
        if let Some(actor) = &actor {
            self.by_ref.remove(actor);
        }
        (child.is_some(), actor)
    }

    /// A running child has ended: its name, and what is to be done.
    pub fn ended(
        &mut self,
        running: &R,
        end: ExitReason,
        now: Duration,
        random: f64,
    ) -> (Option<Arc<str>>, Decision<R>) {
        let number = self.by_ref.remove(running);
        let Some((number, child)) = number.and_then(|n| self.children.get_mut(&n).map(|child| (n, child)))
        else {
            return (None, Decision::Nothing);
        };
        let id = Arc::clone(&child.id);
        if now.saturating_sub(child.since) >= self.intensity.within {
            child.failures_in_a_row = 0;
        }
        (child.state, child.since) = (State::Finished, now);
        let decision = match child.restart {
            Restart::Transient if end == ExitReason::Normal => Decision::Nothing,
            Restart::Permanent | Restart::Transient => self.restart_from(number, end, now, random),
            Restart::Temporary => {
                self.remove(&id);
                Decision::Nothing
            }
        };
        (Some(id), decision)
    }

    /// A child that was due has started: how often it has been restarted, 0 if that was its first start.
    pub fn restarted(&mut self, id: &str, running: R, now: Duration) -> u64 {
        let Some((number, child)) = self.get_mut(id) else { return 0 };
        child.restarts += u64::from(!child.is_new);
        let restarts = child.restarts;
        self.set_running(number, running, now);
        restarts
    }

    /// A child that was due has not started. If it is new, it is forgotten.
    pub fn not_restarted(&mut self, id: &str, reason: String, now: Duration, random: f64) -> Decision<R> {
        let Some((number, child)) = self.get_mut(id) else { return Decision::Nothing };
        if child.is_new {
            self.remove(id);
            return Decision::Nothing;
        }
        child.restarts += 1;
        self.restart_from(number, ExitReason::Failed(reason), now, random)
    }

    /// A child that was to end has not, for this reason.
    pub fn stuck(&mut self, id: &str, reason: String) {
        if let Some((_, child)) = self.get_mut(id) {
            child.last_failure = Some(reason);
        }
    }

    /// The children that run, or the starters of those that are being started, the last started first.
    pub fn running_in_reverse(&self) -> impl Iterator<Item = (&Arc<str>, &R)> {
        self.children.values().rev().filter_map(|child| child.state.actor().map(|actor| (&child.id, actor)))
    }

    /// All children, in order of start.
    pub fn status(&self, now: Duration) -> impl Iterator<Item = ChildStatus> {
        self.children.values().map(move |child| ChildStatus {
            id: Arc::clone(&child.id),
            state: match child.state {
                State::Running(_) => ChildState::Running,
                State::Waiting(_) | State::Starting(..) if child.is_new => ChildState::Starting,
                State::Waiting(_) | State::Starting(..) => ChildState::Restarting,
                State::Finished => ChildState::Finished,
            },
            since: now.saturating_sub(child.since),
            restarts: child.restarts,
            last_failure: child.last_failure.clone(),
        })
    }

    fn restart_from(&mut self, number: u64, end: ExitReason, now: Duration, random: f64) -> Decision<R> {
        let Some(child) = self.children.get_mut(&number) else { return Decision::Nothing };
        child.failures_in_a_row = child.failures_in_a_row.saturating_add(1);
        let after = self.backoff.delay(child.failures_in_a_row, random);
        if let ExitReason::Failed(reason) = end {
            child.last_failure = Some(reason);
        }
        if !self.window.allows(self.intensity, now) {
            self.set_state(number, State::Finished, now);
            return Decision::GiveUp;
        }
        let ticket = self.ticket_from(number);
        self.set_state(number, State::Waiting(ticket), now);
        let stop = match self.strategy {
            Strategy::OneForOne => Vec::new(),
            Strategy::RestForOne => self.restart_after(number, ticket, now),
        };
        Decision::Restart { stop, ticket, after }
    }

    /// Restarts those that were started after this child, but for what is finished or temporary. Returns those that
    /// are to be stopped.
    fn restart_after(&mut self, number: u64, ticket: Ticket, now: Duration) -> Vec<(Arc<str>, R)> {
        let after: Vec<_> = self.children.range(number + 1..).map(|(&number, _)| number).rev().collect();
        let mut stop = Vec::new();
        for number in after {
            let child = &self.children[&number];
            if matches!(child.state, State::Finished) {
                continue;
            }
            let id = Arc::clone(&child.id);
            stop.extend(child.state.actor().map(|actor| (Arc::clone(&id), actor.clone())));
            if child.restart == Restart::Temporary {
                self.remove(&id);
            } else {
                self.set_state(number, State::Waiting(ticket), now);
            }
        }
        stop
    }

    fn insert(&mut self, id: Arc<str>, restart: Restart, state: State<R>, now: Duration) -> u64 {
        debug_assert!(!self.contains(&id), "names are unique");
        let number = self.next_child;
        self.next_child += 1;
        self.by_id.insert(Arc::clone(&id), number);
        let child = Child {
            id,
            restart,
            state,
            since: now,
            is_new: true,
            restarts: 0,
            failures_in_a_row: 0,
            last_failure: None,
        };
        self.children.insert(number, child);
        number
    }

    fn set_running(&mut self, number: u64, running: R, now: Duration) {
        self.by_ref.insert(running.clone(), number);
        self.set_state(number, State::Running(running), now);
        if let Some(child) = self.children.get_mut(&number) {
            child.is_new = false;
        }
    }

    fn set_state(&mut self, number: u64, state: State<R>, now: Duration) {
        let Some(child) = self.children.get_mut(&number) else { return };
        let before = mem::replace(&mut child.state, state);
        child.since = now;
        if let Some(actor) = before.actor() {
            self.by_ref.remove(actor);
        }
    }

    fn get_mut(&mut self, id: &str) -> Option<(u64, &mut Child<R>)> {
        let number = *self.by_id.get(id)?;
        Some((number, self.children.get_mut(&number)?))
    }

    const fn ticket_from(&mut self, first: u64) -> Ticket {
        self.next_ticket += 1;
        Ticket { serial: self.next_ticket, first }
    }
}

#[cfg(test)]
mod tests;
