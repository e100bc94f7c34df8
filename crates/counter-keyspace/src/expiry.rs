//! Counters that expire.
//!
//! An expired counter reads as absent everywhere. It is removed when it is written to, or by a sweep.

use crate::key::Key;
use crate::place_set::Place;
use crate::round::Outcome;
use crate::table::Table;

impl Table {
    /// Removes the counter of this name if it has expired.
    #[inline]
    pub(crate) fn reclaim(&mut self, key: Key<'_>) {
        if self.has_expired() {
            self.reclaim_now(key);
        }
    }

    #[cold]
    fn reclaim_now(&mut self, key: Key<'_>) {
        if self.place_of(key).is_none() {
            self.remove(key);
        }
    }

    /// Removes up to `most` expired counters, the one that expired first before the others. Returns their number.
    pub(crate) fn sweep(&mut self, most: usize) -> usize {
        let removed = (0..most).take_while(|_| {
            let first = self.deadlines().first().filter(|place| self.is_expired(*place));
            first.is_some_and(|place| self.remove_at(place))
        });
        removed.count()
    }

    /// Sets or removes the deadline of a counter, and returns the one that it had.
    pub(crate) fn set_deadline(&mut self, key: Key<'_>, deadline_ms: Option<u64>) -> Outcome {
        let Some(place) = self.place_of(key) else { return Outcome::Value(None) };
        Outcome::Deadline(self.set_deadline_at(place, deadline_ms))
    }

    /// Returns the time until a counter expires.
    pub(crate) fn ttl(&self, key: Key<'_>) -> Outcome {
        let Some(place) = self.place_of(key) else { return Outcome::Value(None) };
        Outcome::Ttl(
            self.deadlines().get(place).map(|deadline_ms| deadline_ms.saturating_sub(self.clock_ms())),
        )
    }

    /// Returns true if there are counters that have expired and are not removed yet.
    #[inline]
    pub(crate) const fn has_expired(&self) -> bool {
        self.clock_ms() >= self.deadlines().earliest_ms()
    }

    /// Returns true if the counter at this place has expired.
    #[inline]
    pub(crate) fn is_expired(&self, place: Place) -> bool {
        self.has_expired()
            && self.deadlines().get(place).is_some_and(|deadline_ms| deadline_ms <= self.clock_ms())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use counter_protocol::{Count, CounterName, Delta};
    use proptest::prelude::*;

    use super::*;
    use crate::follower::{FeedOwner, Position};
    use crate::key::with_hash;
    use crate::operation::Operation;
    use crate::sessions::Sessions;
    use crate::table::TablePosition;

    fn key(name: &u8) -> Key<'_> {
        // Few segments, so that removals move other counters.
        with_hash(u64::from(name % 2) << 30 | u64::from(*name) << 57, std::slice::from_ref(name))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Fold(u8, i64),
        Operate(u8, Operation),
        Advance(u64),
        Sweep(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let operation = prop_oneof![
            3 => (0..60_u64).prop_map(Operation::Expire),
            1 => Just(Operation::Persist),
            1 => Just(Operation::Ttl),
            1 => Just(Operation::Get),
            1 => (-9..9_i64).prop_map(Operation::Add),
            1 => (-9..9_i64).prop_map(Operation::Set),
            1 => (-9..9_i64).prop_map(Operation::GetAndSet),
            1 => Just(Operation::RemoveAndGet),
        ];
        prop_oneof![
            2 => (0..9_u8, -9..9_i64).prop_map(|(name, amount)| Step::Fold(name, amount)),
            5 => (0..9_u8, operation).prop_map(|(name, operation)| Step::Operate(name, operation)),
            1 => (0..12_u64).prop_map(Step::Advance),
            1 => (0..3_usize).prop_map(Step::Sweep),
        ]
    }

    /// Counters that have not expired.
    type Model = BTreeMap<u8, (Count, Option<u64>)>;

    fn expected(model: &mut Model, now_ms: u64, name: u8, operation: Operation) -> Outcome {
        let before = model.get(&name).copied();
        let (Count { value, operations }, deadline_ms) = before.unwrap_or_default();
        let value_before = before.map(|(count, _)| count.value);
        let mut set = |value, deadline_ms| {
            model.insert(name, (Count { value, operations: operations + 1 }, deadline_ms));
            Outcome::Value(Some(value))
        };
        match operation {
            Operation::Get => Outcome::Value(value_before),
            Operation::Add(amount) => set(value + amount, deadline_ms),
            Operation::Set(value) => set(value, None),
            Operation::GetAndSet(value) => {
                set(value, None);
                Outcome::Value(value_before)
            }
            Operation::RemoveAndGet => Outcome::Removed(model.remove(&name).map(|(count, _)| count)),
            Operation::Expire(_) | Operation::Persist | Operation::Ttl => match model.get_mut(&name) {
                None => Outcome::Value(None),
                Some((_, at)) => match operation {
                    Operation::Ttl => Outcome::Ttl(at.map(|at| at - now_ms)),
                    Operation::Expire(deadline_ms) => Outcome::Deadline(at.replace(deadline_ms)),
                    _ => Outcome::Deadline(at.take()),
                },
            },
            _ => unreachable!(),
        }
    }

    proptest! {
        #[test]
        fn an_expired_counter_is_absent_everywhere_and_leaves_the_feed(
            steps in prop::collection::vec(step(), 0..100),
        ) {
            let (mut table, mut model, mut now_ms) = (Table::default(), Model::new(), 0);
            let (owner, mut replica) = (FeedOwner::default(), Model::new());
            for (round, step) in (1..).zip(steps) {
                match step {
                    Step::Fold(name, amount) => {
                        table.apply(key(&name), Delta::from(i128::from(amount)));
                        expected(&mut model, now_ms, name, Operation::Add(amount));
                    }
                    Step::Operate(name, operation) => {
                        let outcome = expected(&mut model, now_ms, name, operation);
                        prop_assert_eq!(table.operate(key(&name), operation), outcome);
                    }
                    Step::Advance(ms) => {
                        now_ms += ms;
                        table.advance(now_ms);
                    }
                    Step::Sweep(most) => prop_assert!(table.sweep(most) <= most),
                }
                model.retain(|_, (_, at)| at.is_none_or(|at| at > now_ms));
                let counters: BTreeMap<_, _> =
                    model.iter().map(|(name, (count, _))| (CounterName::from(key(name)), *count)).collect();
                let (page, _) = table.page(TablePosition::default(), 99, &[]);
                prop_assert_eq!(page.into_iter().collect::<BTreeMap<_, _>>(), counters.clone());
                prop_assert_eq!(table.top(99).into_iter().collect::<BTreeMap<_, _>>(), counters.clone());
                let all = table.iter().map(|(key, count)| (key.into(), count));
                prop_assert_eq!(all.collect::<BTreeMap<_, _>>(), counters);
                prop_assert!((0..9).all(|name| table.get(key(&name)) == model.get(&name).map(|(count, _)| *count)));

                let position = Position { round, pages: 0, confirmed: round - 1 };
                let page = table.finish_round(&owner.id(), position, usize::MAX, &Sessions::default());
                let end = page.end.unwrap();
                end.removed.iter().for_each(|name| _ = replica.remove(&name[0]));
                replica.extend(page.changed.iter().map(|entry| (entry.name[0], (entry.count, entry.deadline_ms))));
                prop_assert_eq!(end.totals.names, replica.len() as u64);
                let is_alive = |(_, (_, at)): &(_, (_, Option<u64>))| at.is_none_or(|at| at > now_ms);
                let alive: Model = replica.clone().into_iter().filter(is_alive).collect();
                prop_assert_eq!(&alive, &model);
            }
            table.sweep(99);
            prop_assert!(!table.has_expired());
            prop_assert_eq!(table.len(), model.len());
        }
    }
}
