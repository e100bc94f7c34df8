//! Linearizability of one counter that lives once: some order of all operations explains every outcome. Pure.
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
type State = Option<(i64, u64)>;

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
}

/// A counter's history.
#[derive(Debug)]
pub(crate) struct History {
    worlds: BTreeSet<World>,
    /// Operations that may still take effect.
    pending: Vec<Pending>,
    is_given_up: bool,
}

impl Default for History {
    fn default() -> Self {
        let world = World { state: None, effects: Vec::new(), since_durable: vec![None] };
        Self { worlds: BTreeSet::from([world]), pending: Vec::new(), is_given_up: false }
    }
}

impl World {
    fn after(&self, number: u64, operation: Operation) -> Self {
        let mut next = self.clone();
        next.state = apply(self.state, operation);
        next.since_durable.push(next.state);
        let position = next.since_durable.len() - 1;
        let effect = Effect { before: self.state, after: next.state, position };
        for (under_way, done) in &mut next.effects {
            if *under_way == number {
                *done = Some(effect.clone());
            }
        }
        next
    }
}

impl History {
    /// A client begins an operation, which it repeats until it is answered or not.
    pub(crate) fn begins(&mut self, number: u64, operation: Operation, is_repeated: bool) {
        self.pending.push(Pending { number, operation, is_repeated });
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
            for Pending { number, operation, .. } in &self.pending {
                if !world.effects.contains(&(*number, None)) {
                    continue;
                }
                let next = world.after(*number, *operation);
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
    let (value, operations) = state.unwrap_or_default();
    match operation {
        Operation::Add(amount) => Some((value + amount, operations + 1)),
        Operation::Set(value) | Operation::GetAndSet(value) => Some((value, operations + 1)),
        Operation::AddWithin { amount, min, max } => {
            if (min..=max).contains(&(value + amount)) {
                Some((value + amount, operations + 1))
            } else {
                state
            }
        }
        Operation::RemoveAndGet => None,
        _ => state,
    }
}

fn is_outcome(operation: Operation, Effect { before, after, .. }: &Effect, outcome: Outcome) -> bool {
    let value = |state: &State| state.map(|(value, _)| value);
    match (operation, outcome) {
        (Operation::GetAndSet(_), Outcome::Value(had)) => had == value(before),
        (Operation::AddWithin { .. }, Outcome::OutOfRange(has)) => {
            before == after && has == value(before).unwrap_or_default()
        }
        (Operation::AddWithin { .. }, Outcome::Value(has)) => before != after && has == value(after),
        (Operation::RemoveAndGet, Outcome::Removed(had)) => {
            had == before.map(|(value, operations)| Count { value, operations })
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
        history.begins(1, Operation::Add(2), false);
        history.begins(2, Operation::Add(3), false);
        assert_eq!(history.ends(2, Outcome::Value(Some(3)), false), Ok(()));
        assert_eq!(history.ends(1, Outcome::Value(Some(5)), true), Ok(()));
        history.begins(3, Operation::Get, false);
        assert!(history.ends(3, Outcome::Value(Some(2)), false).is_err());
    }

    #[test]
    fn a_crash_takes_back_what_is_not_durable_and_nothing_else() {
        for (value, is_possible) in [(1, false), (2, true), (5, true), (9, true), (3, false)] {
            let mut history = History::default();
            for (number, amount, sum, is_durable) in [(0, 1, 1, false), (1, 1, 2, true), (2, 3, 5, false)] {
                history.begins(number, Operation::Add(amount), false);
                assert_eq!(history.ends(number, Outcome::Value(Some(sum)), is_durable), Ok(()));
            }
            history.begins(3, Operation::Add(4), false);
            history.crashes();
            history.begins(4, Operation::Get, false);
            assert_eq!(history.ends(4, Outcome::Value(Some(value)), false).is_ok(), is_possible, "{value}");
        }
    }

    #[test]
    fn what_is_repeated_behind_a_crash_takes_effect_once() {
        for (outcome, value, is_possible) in [(1, 1, true), (1, 2, false), (2, 2, false)] {
            let mut history = History::default();
            history.begins(0, Operation::Add(1), true);
            history.crashes();
            let answered = history.ends(0, Outcome::Value(Some(outcome)), true);
            history.begins(1, Operation::Get, false);
            let read = history.ends(1, Outcome::Value(Some(value)), false);
            assert_eq!(answered.is_ok() && read.is_ok(), is_possible, "{outcome}, {value}");
        }
    }
}
