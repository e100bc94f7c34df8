//! Linearizability of one counter that lives once: some order of all operations explains every outcome. Pure.
//!
//! A counter may expire as soon as its shard may go by a time beyond its deadline, and has once the shard has to.
//!
//! All states are followed that the counter may be in (Wing and Gong, with the operations that are under way as part of
//! a state). A crash leaves a state that was there at or after the last one that is known to be durable.

use std::collections::BTreeSet;

use counter_keyspace::{Operation, Outcome};
use counter_protocol::Count;

use crate::oracle::Violation;

/// Maximum number of possible states; beyond it, the counter is not checked any more.
const MAX_STATES: usize = 4_096;

/// A counter, or that there is none.
pub(crate) type State = Option<Counter>;

/// State of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counter {
    pub(crate) value: i64,
    pub(crate) operations: u64,
    pub(crate) deadline_ms: Option<u64>,
}

/// One way in which everything may have happened until now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    state: State,
    /// Operations that are under way, by number, and the state right behind each that has taken effect.
    effects: Vec<(u64, Option<Effect>)>,
    /// States since the one that is known to be durable, which is the first.
    since_durable: Vec<State>,
}

/// Effect of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Effect {
    before: State,
    after: State,
    /// Position of the state behind it among those since the durable one, counted from the counter's beginning.
    position: usize,
}

/// Operation that is under way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    number: u64,
    operation: Operation,
    /// It is repeated until it is answered, also behind a crash, and takes effect once.
    is_repeated: bool,
    /// Least time that its shard may go by when it takes effect.
    not_before_ms: u64,
}

/// A counter's history.
#[derive(Clone, Debug)]
pub(crate) struct History {
    worlds: BTreeSet<World>,
    /// Operations that may still take effect.
    pending: Vec<Pending>,
    /// Greatest time that a shard may have gone by so far.
    latest_ms: u64,
    is_given_up: bool,
}

impl Default for History {
    fn default() -> Self {
        let world = World { state: None, effects: Vec::new(), since_durable: vec![None] };
        Self { worlds: BTreeSet::from([world]), pending: Vec::new(), latest_ms: 0, is_given_up: false }
    }
}

impl World {
    /// Returns the world behind an operation, unless the counter has certainly expired before.
    fn after(&self, Pending { number, operation, not_before_ms, .. }: Pending) -> Option<Self> {
        let mut next = self.clone();
        if self.state.is_some_and(|counter| counter.has_expired(not_before_ms)) {
            return None;
        }
        next.state = apply(self.state, operation);
        next.since_durable.push(next.state);
        let position = next.since_durable.len() - 1;
        let effect = Effect { before: self.state, after: next.state, position };
        for (under_way, done) in &mut next.effects {
            if *under_way == number {
                *done = Some(effect.clone());
            }
        }
        Some(next)
    }

    /// Returns the world in which the counter has expired, if it may have by this time.
    fn expired(&self, latest_ms: u64) -> Option<Self> {
        self.state.filter(|counter| counter.has_expired(latest_ms))?;
        let mut next = Self { state: None, ..self.clone() };
        next.since_durable.push(None);
        Some(next)
    }
}

impl Counter {
    fn has_expired(self, now_ms: u64) -> bool {
        self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }
}

impl History {
    /// The clock shows this, and has shown no more than `latest_ms` so far, nor will a shard have gone by more. Shards
    /// go by no less than the clock, which may have been set back.
    pub(crate) fn clock_shows(&mut self, now_ms: u64, latest_ms: u64) {
        self.latest_ms = self.latest_ms.max(latest_ms);
        self.pending.iter_mut().for_each(|pending| pending.not_before_ms = pending.not_before_ms.min(now_ms));
    }

    /// A client begins an operation at this time, which it repeats until it is answered or not.
    pub(crate) fn begins(&mut self, number: u64, operation: Operation, is_repeated: bool, now_ms: u64) {
        self.pending.push(Pending { number, operation, is_repeated, not_before_ms: now_ms });
        self.change(|world| world.effects.push((number, None)));
    }

    /// It has this outcome, and what it has done is durable or not.
    pub(crate) fn ends(&mut self, number: u64, outcome: Outcome, is_durable: bool) -> Result<(), Violation> {
        let Some(&Pending { operation, .. }) = self.pending.iter().find(|pending| pending.number == number)
        else {
            return Ok(());
        };
        self.close();
        self.pending.retain(|pending| pending.number != number);
        let explained = std::mem::take(&mut self.worlds).into_iter().filter_map(|mut world| {
            let at = world.effects.iter().position(|(of, _)| *of == number)?;
            let (_, effect) = world.effects.remove(at);
            let effect = effect?;
            if !is_outcome(operation, &effect, outcome) {
                return None;
            }
            if is_durable {
                world.since_durable.drain(..effect.position);
                world.effects.iter_mut().filter_map(|(_, other)| other.as_mut()).for_each(|other| {
                    other.position = other.position.saturating_sub(effect.position);
                });
            }
            Some(world)
        });
        self.worlds = explained.collect();
        let is_explained = (self.is_given_up || !self.worlds.is_empty()).then_some(());
        is_explained.ok_or_else(|| format!("no order of operations explains {outcome:?} of {operation:?}"))
    }

    /// The node has ended. What was under way has taken effect and is durable, or not. What is repeated may still take
    /// effect if it has not.
    pub(crate) fn crashes(&mut self) {
        self.close();
        self.pending.retain(|pending| pending.is_repeated);
        let repeated: Vec<_> = self.pending.iter().map(|pending| pending.number).collect();
        let mut worlds = BTreeSet::new();
        for World { effects, since_durable, .. } in std::mem::take(&mut self.worlds) {
            for (position, state) in since_durable.into_iter().enumerate() {
                let effects = effects.iter().filter(|(number, _)| repeated.contains(number));
                let durable = |effect: &Effect| effect.position <= position;
                let effects = effects.map(|(number, effect)| {
                    let effect = effect.clone().filter(durable);
                    (*number, effect.map(|effect| Effect { position: 0, ..effect }))
                });
                let effects = effects.collect();
                worlds.insert(World { state, effects, since_durable: vec![state] });
            }
        }
        self.worlds = worlds;
    }

    /// Returns true if a disk may hold this of the counter now.
    pub(crate) fn may_be_on_disk(&self, state: State) -> bool {
        let mut crashed = self.clone();
        crashed.crashes();
        crashed.is_given_up || crashed.worlds.iter().any(|world| world.state == state)
    }

    /// The node has lost everything. What is repeated may still take effect.
    pub(crate) fn begins_anew(&mut self) {
        self.pending.retain(|pending| pending.is_repeated);
        let effects = self.pending.iter().map(|pending| (pending.number, None)).collect();
        self.worlds = BTreeSet::from([World { state: None, effects, since_durable: vec![None] }]);
    }

    /// Adds all states that operations under way may lead to.
    fn close(&mut self) {
        let mut new: Vec<_> = self.worlds.iter().cloned().collect();
        while let Some(world) = new.pop() {
            let under_way =
                self.pending.iter().filter(|pending| world.effects.contains(&(pending.number, None)));
            let next =
                under_way.filter_map(|pending| world.after(*pending)).chain(world.expired(self.latest_ms));
            for next in next.collect::<Vec<_>>() {
                if self.worlds.insert(next.clone()) {
                    new.push(next);
                }
            }
            if self.worlds.len() > MAX_STATES {
                self.is_given_up = true;
                self.worlds.clear();
                return;
            }
        }
    }

    fn change(&mut self, change: impl Fn(&mut World)) {
        let worlds = std::mem::take(&mut self.worlds).into_iter();
        self.worlds = worlds
            .map(|mut world| {
                change(&mut world);
                world
            })
            .collect();
    }
}

fn apply(state: State, operation: Operation) -> State {
    let counter = state.unwrap_or_default();
    let counted = |value| Counter { value, operations: counter.operations + 1, ..counter };
    match operation {
        Operation::Add(amount) => Some(counted(counter.value + amount)),
        Operation::Set(value) | Operation::GetAndSet(value) => {
            Some(Counter { deadline_ms: None, ..counted(value) })
        }
        Operation::AddWithin { amount, min, max } if (min..=max).contains(&(counter.value + amount)) => {
            Some(counted(counter.value + amount))
        }
        Operation::RemoveAndGet => None,
        Operation::Expire(deadline_ms) => {
            state.map(|counter| Counter { deadline_ms: Some(deadline_ms), ..counter })
        }
        Operation::Persist => state.map(|counter| Counter { deadline_ms: None, ..counter }),
        _ => state,
    }
}

fn is_outcome(operation: Operation, Effect { before, after, .. }: &Effect, outcome: Outcome) -> bool {
    let value = |state: &State| state.map(|counter| counter.value);
    match (operation, outcome) {
        (Operation::GetAndSet(_), Outcome::Value(had)) => had == value(before),
        (Operation::AddWithin { .. }, Outcome::OutOfRange(has)) => {
            before == after && has == value(before).unwrap_or_default()
        }
        (Operation::AddWithin { .. }, Outcome::Value(has)) => before != after && has == value(after),
        (Operation::RemoveAndGet, Outcome::Removed(had)) => {
            had == before.map(|Counter { value, operations, .. }| Count { value, operations })
        }
        (Operation::Expire(_) | Operation::Persist, Outcome::Deadline(had)) => {
            before.is_some_and(|before| before.deadline_ms == had)
        }
        (_, Outcome::Value(has)) => has == value(after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_that_some_order_explains_are_accepted_and_others_are_not() {
        let mut history = History::default();
        history.begins(1, Operation::Add(2), false, 0);
        history.begins(2, Operation::Add(3), false, 0);
        assert_eq!(history.ends(2, Outcome::Value(Some(3)), false), Ok(()));
        assert_eq!(history.ends(1, Outcome::Value(Some(5)), true), Ok(()));
        history.begins(3, Operation::Get, false, 0);
        assert!(history.ends(3, Outcome::Value(Some(2)), false).is_err());
    }

    #[test]
    fn a_crash_takes_back_what_is_not_durable_and_nothing_else() {
        for (value, is_possible) in [(1, false), (2, true), (5, true), (9, true), (3, false)] {
            let mut history = History::default();
            for (number, amount, sum, is_durable) in [(0, 1, 1, false), (1, 1, 2, true), (2, 3, 5, false)] {
                history.begins(number, Operation::Add(amount), false, 0);
                assert_eq!(history.ends(number, Outcome::Value(Some(sum)), is_durable), Ok(()));
            }
            history.begins(3, Operation::Add(4), false, 0);
            history.crashes();
            history.begins(4, Operation::Get, false, 0);
            assert_eq!(history.ends(4, Outcome::Value(Some(value)), false).is_ok(), is_possible, "{value}");
        }
    }

    #[test]
    fn what_is_repeated_behind_a_crash_takes_effect_once() {
        for (outcome, value, is_possible) in [(1, 1, true), (1, 2, false), (2, 2, false)] {
            let mut history = History::default();
            history.begins(0, Operation::Add(1), true, 0);
            history.crashes();
            let answered = history.ends(0, Outcome::Value(Some(outcome)), true);
            history.begins(1, Operation::Get, false, 0);
            let read = history.ends(1, Outcome::Value(Some(value)), false);
            assert_eq!(answered.is_ok() && read.is_ok(), is_possible, "{outcome}, {value}");
        }
    }

    #[test]
    fn a_counter_expires_between_the_least_and_the_greatest_time_that_its_shard_may_go_by() {
        // At 90 it has not, at 110 it has. A clock that is set back, or has been ahead, tells nothing.
        for (now_ms, set_to_ms, latest_ms, may_be_there, may_be_gone) in [
            (90, 90, 90, true, false),
            (110, 110, 110, false, true),
            (110, 90, 110, true, true),
            (90, 90, 110, true, true),
        ] {
            for (value, is_possible) in [(Some(5), may_be_there), (None, may_be_gone)] {
                let mut history = History::default();
                for (number, operation, outcome) in [
                    (0, Operation::Set(5), Outcome::Value(Some(5))),
                    (1, Operation::Expire(100), Outcome::Deadline(None)),
                ] {
                    history.begins(number, operation, false, 0);
                    assert_eq!(history.ends(number, outcome, true), Ok(()));
                }
                history.begins(2, Operation::Get, false, now_ms);
                history.clock_shows(set_to_ms, latest_ms);
                assert_eq!(
                    history.ends(2, Outcome::Value(value), true).is_ok(),
                    is_possible,
                    "{now_ms} {value:?}"
                );
            }
        }
    }
}
