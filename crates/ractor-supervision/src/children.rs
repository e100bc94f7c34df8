use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::restart::{Backoff, Intensity, Restart, Strategy, Window};

/// Children of a supervisor, and the decision when one ends. Pure: `R` refers to a running child, times are since the
/// supervisor's start, and randomness comes in as a number from 0 to 1.
#[derive(Debug)]
pub struct Children<R> {
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    /// Children by number, in order of start.
    children: BTreeMap<u64, Child<R>>,
    by_id: HashMap<Arc<str>, u64>,
    /// Numbers of children that run or are being started.
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
    /// True if it has not run yet. It is forgotten if it does not start.
    is_new: bool,
    restarts: u64,
    failures_in_a_row: u32,
    last_failure: Option<String>,
}

#[derive(Debug)]
enum State<R> {
    Running(R),
    /// Waits for its turn among the children with this ticket; an earlier ticket is void.
    Waiting(Ticket),
    /// Is being started by this starter.
    Starting(Ticket, R),
    Finished,
}

impl<R> State<R> {
    /// Returns the actor that runs, or the starter.
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

/// Reason for the end of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It stopped, or was stopped, in order.
    Normal,
    /// It failed, or did not start.
    Failed(String),
}

impl ExitReason {
    /// Returns the reason for which an actor has ended, from the reason in its `ActorTerminated` event. `Failed` is
    /// an actor that was killed or whose task was cancelled, in the words of ractor 0.16.5.
    #[must_use]
    pub fn of_terminated(reason: Option<String>) -> Self {
        match reason {
            Some(reason) if matches!(&*reason, "killed" | "actor_task_cancelled") => Self::Failed(reason),
            Some(_) | None => Self::Normal,
        }
    }
}

/// Stands for children that are to be started one after the other. It becomes void for a child to which something
/// else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Serial number of the ticket, greater than those before.
    serial: u64,
    /// Number of the first child.
    first: u64,
}

/// Action to take after a child has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<R> {
    /// It was not a child any more, or it need not be restarted.
    Nothing,
    /// Stop these in this order, then wait, then start the children with the ticket.
    Restart {
        /// Children that run, or starters of those that are being started, the last started first. They are restarted
        /// as well, or forgotten already.
        stop: Vec<(Arc<str>, R)>,
        /// Ticket of all children that are to be started.
        ticket: Ticket,
        /// Wait before the start.
        after: Duration,
    },
    /// Too many restarts: stop all children and fail.
    GiveUp,
}

/// Status of a child, for monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Name of the child.
    pub id: Arc<str>,
    /// Current state.
    pub state: ChildState,
    /// Time in this state.
    pub since: Duration,
    /// Number of restarts, failed attempts included.
    pub restarts: u64,
    /// Reason of the last failure, if any.
    pub last_failure: Option<String>,
}

/// State of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// The first start waits for its turn, or is not over.
    Starting,
    /// The child runs.
    Running,
    /// A restart waits for its turn, or is not over.
    Restarting,
    /// The child has ended in order, and is not restarted.
    Finished,
}

impl<R: Clone + Eq + Hash> Children<R> {
    /// Creates an empty set of children.
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

    /// Returns true if there are no children.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Returns true if there is a child of this name.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Adds a new child that runs already. It must not be there yet.
    pub fn add(&mut self, id: Arc<str>, restart: Restart, running: R, now: Duration) {
        let number = self.insert(id, restart, State::Finished, now);
        self.set_running(number, running, now);
    }

    /// Adds a new child that is to be started. It must not be there yet. Returns a ticket, which is due at once.
    /// Returns `None` if others have to start first; their ticket is this child's as well.
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

    /// Returns the child that is to be started next with this ticket. Returns `None` while one of its children is
    /// being started.
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

    /// Records that a child that was due is being started by `starter`.
    pub fn starting(&mut self, id: &str, starter: R) {
        let Some((number, child)) = self.get_mut(id) else { return };
        if let State::Waiting(ticket) = child.state {
            child.state = State::Starting(ticket, starter.clone());
            self.by_ref.insert(starter, number);
        }
    }

    /// Returns the child that runs as this actor, or is being started by it.
    #[must_use]
    pub fn id_of(&self, actor: &R) -> Option<&Arc<str>> {
        Some(&self.children.get(self.by_ref.get(actor)?)?.id)
    }

    /// Returns the ticket with which this child is being started, if it is.
    #[must_use]
    pub fn start_under_way(&self, id: &str) -> Option<Ticket> {
        match self.children.get(self.by_id.get(id)?)?.state {
            State::Starting(ticket, _) => Some(ticket),
            State::Running(_) | State::Waiting(_) | State::Finished => None,
        }
    }

    /// Forgets a child. Returns true if there was one, and its actor if it runs, or its starter if it is being
    /// started.
    pub fn remove(&mut self, id: &str) -> (bool, Option<R>) {
        let child = self.by_id.remove(id).and_then(|number| self.children.remove(&number));
        let actor = child.as_ref().and_then(|child| child.state.actor()).cloned();
        if let Some(actor) = &actor {
            self.by_ref.remove(actor);
        }
        (child.is_some(), actor)
    }

    /// Records that a running child has ended. Returns its name and the action to take.
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

    /// Records that a child that was due has started. Returns its number of restarts, 0 after its first start.
    pub fn restarted(&mut self, id: &str, running: R, now: Duration) -> u64 {
        let Some((number, child)) = self.get_mut(id) else { return 0 };
        child.restarts += u64::from(!child.is_new);
        let restarts = child.restarts;
        self.set_running(number, running, now);
        restarts
    }

    /// Records that a child that was due has not started. A new child is forgotten.
    pub fn not_restarted(&mut self, id: &str, reason: String, now: Duration, random: f64) -> Decision<R> {
        let Some((number, child)) = self.get_mut(id) else { return Decision::Nothing };
        if child.is_new {
            self.remove(id);
            return Decision::Nothing;
        }
        child.restarts += 1;
        self.restart_from(number, ExitReason::Failed(reason), now, random)
    }

    /// Records the reason why a child did not end when it was stopped.
    pub fn stuck(&mut self, id: &str, reason: String) {
        if let Some((_, child)) = self.get_mut(id) {
            child.last_failure = Some(reason);
        }
    }

    /// Returns the children that run, and the starters of those that are being started, the last started first.
    pub fn running_in_reverse(&self) -> impl Iterator<Item = (&Arc<str>, &R)> {
        self.children.values().rev().filter_map(|child| child.state.actor().map(|actor| (&child.id, actor)))
    }

    /// Returns the status of all children, in order of start.
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

    /// Restarts the children that were started after this one, except finished and temporary ones. Returns those that
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
