use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
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
    /// Those that run.
    by_ref: HashMap<R, u64>,
    next_child: u64,
    window: Window,
    tickets: u64,
}

#[derive(Debug)]
struct Child<R> {
    id: Arc<str>,
    restart: Restart,
    state: State<R>,
    since: Duration,
    restarts: u64,
    failures_in_a_row: u32,
    last_failure: Option<String>,
}

#[derive(Debug)]
enum State<R> {
    Running(R),
    /// Waits for the restart with this ticket; one with an earlier ticket is void.
    Restarting(u64),
    Finished,
}

/// How a child has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It stopped, or was stopped, in order.
    Normal,
    /// It failed, or did not start.
    Failed(String),
}

impl End {
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

/// A restart that is due: the child's name, and the ticket that makes it void if something else has happened.
pub type Due = (Arc<str>, u64);

/// What is to be done now that a child has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<R> {
    /// It was not a child any more, or it need not be restarted.
    Nothing,
    /// Stop these, in this order, then after a wait start those, in that order.
    Restart {
        /// Running children that are restarted as well, the last started first.
        stop: Vec<(Arc<str>, R)>,
        /// All that are to be started.
        start: Vec<Due>,
        /// The wait.
        after: Duration,
    },
    /// Too many restarts: stop all children and fail.
    GiveUp,
}

/// A child, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// It runs.
    Running,
    /// It waits to be started again.
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
            tickets: 0,
        }
    }

    /// Whether there is a child of this name.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// A new child runs. It must not be there yet.
    pub fn add(&mut self, id: Arc<str>, restart: Restart, running: R, now: Duration) {
        debug_assert!(!self.contains(&id), "names are unique");
        let number = self.next_child;
        self.next_child += 1;
        self.by_id.insert(Arc::clone(&id), number);
        self.by_ref.insert(running.clone(), number);
        let state = State::Running(running);
        let child =
            Child { id, restart, state, since: now, restarts: 0, failures_in_a_row: 0, last_failure: None };
        self.children.insert(number, child);
    }

    /// Forgets a child, and returns it if it runs. False if there is none.
    pub fn remove(&mut self, id: &str) -> (bool, Option<R>) {
        let child = self.by_id.remove(id).and_then(|number| self.children.remove(&number));
        match child.map(|child| child.state) {
            None => (false, None),
            Some(State::Restarting(_) | State::Finished) => (true, None),
            Some(State::Running(running)) => {
                self.by_ref.remove(&running);
                (true, Some(running))
            }
        }
    }

    /// A running child has ended: its name, and what is to be done.
    pub fn ended(
        &mut self,
        running: &R,
        end: End,
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
            Restart::Transient if end == End::Normal => Decision::Nothing,
            Restart::Permanent | Restart::Transient => self.restart_from(number, end, now, random),
            Restart::Temporary => {
                self.remove(&id);
                Decision::Nothing
            }
        };
        (Some(id), decision)
    }

    /// Whether this restart is still to be carried out.
    #[must_use]
    pub fn is_due(&self, (id, ticket): &Due) -> bool {
        let child = self.by_id.get(id).and_then(|number| self.children.get(number));
        child.is_some_and(|child| matches!(child.state, State::Restarting(due) if due == *ticket))
    }

    /// A child that was due has started: how often it has been restarted.
    pub fn restarted(&mut self, id: &str, running: R, now: Duration) -> u64 {
        let Some(&number) = self.by_id.get(id) else { return 0 };
        let Some(child) = self.children.get_mut(&number) else { return 0 };
        self.by_ref.insert(running.clone(), number);
        (child.state, child.since) = (State::Running(running), now);
        child.restarts += 1;
        child.restarts
    }

    /// A child that was due has not started.
    pub fn not_restarted(&mut self, id: &str, reason: String, now: Duration, random: f64) -> Decision<R> {
        let Some(&number) = self.by_id.get(id) else { return Decision::Nothing };
        if let Some(child) = self.children.get_mut(&number) {
            child.restarts += 1;
        }
        self.restart_from(number, End::Failed(reason), now, random)
    }

    /// The running children, the last started first.
    pub fn running_in_reverse(&self) -> impl Iterator<Item = (&Arc<str>, &R)> {
        self.children.values().rev().filter_map(|child| match &child.state {
            State::Running(running) => Some((&child.id, running)),
            State::Restarting(_) | State::Finished => None,
        })
    }

    /// All children, in order of start.
    pub fn status(&self, now: Duration) -> impl Iterator<Item = ChildStatus> {
        self.children.values().map(move |child| ChildStatus {
            id: Arc::clone(&child.id),
            state: match child.state {
                State::Running(_) => ChildState::Running,
                State::Restarting(_) => ChildState::Restarting,
                State::Finished => ChildState::Finished,
            },
            since: now.saturating_sub(child.since),
            restarts: child.restarts,
            last_failure: child.last_failure.clone(),
        })
    }

    fn restart_from(&mut self, number: u64, end: End, now: Duration, random: f64) -> Decision<R> {
        let Some(child) = self.children.get_mut(&number) else { return Decision::Nothing };
        child.failures_in_a_row = child.failures_in_a_row.saturating_add(1);
        let after = self.backoff.delay(child.failures_in_a_row, random);
        if let End::Failed(reason) = end {
            child.last_failure = Some(reason);
        }
        if !self.window.allows(self.intensity, now) {
            (child.state, child.since) = (State::Finished, now);
            return Decision::GiveUp;
        }
        self.tickets += 1;
        (child.state, child.since) = (State::Restarting(self.tickets), now);
        let mut start = vec![(Arc::clone(&child.id), self.tickets)];
        let mut stop = Vec::new();
        if self.strategy == Strategy::RestForOne {
            for child in self.children.range_mut(number + 1..).map(|(_, child)| child) {
                match &child.state {
                    State::Finished => continue,
                    State::Restarting(_) => {}
                    State::Running(running) => {
                        self.by_ref.remove(running);
                        stop.push((Arc::clone(&child.id), running.clone()));
                    }
                }
                (child.state, child.since) = (State::Restarting(self.tickets), now);
                start.push((Arc::clone(&child.id), self.tickets));
            }
        }
        stop.reverse();
        Decision::Restart { stop, start, after }
    }
}

#[cfg(test)]
mod tests;
