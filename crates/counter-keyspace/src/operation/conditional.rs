//! Operations with conditions, and those that change a deadline along with a value.

use counter_protocol::Count;

use crate::key::Key;
use crate::round::Outcome;
use crate::table::Table;

/// Condition on whether a counter exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// No condition.
    #[default]
    Any,
    /// The counter does not exist.
    Absent,
    /// The counter exists.
    Present,
}

/// Change of the deadline of a counter that is written. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadlineChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is removed.
    Clear,
    /// It is set.
    At(u64),
    /// It is set if there is none.
    AtIfNone(u64),
}

/// Condition on the deadline of a counter. A counter without one counts as expiring last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadlineCondition {
    /// No condition.
    #[default]
    Any,
    /// There is none.
    None,
    /// There is one.
    Some,
    /// It is before the new one.
    Earlier,
    /// It is after the new one.
    Later,
    /// There is one, and it is after the new one.
    SomeLater,
}

impl Presence {
    /// Returns true if the condition holds.
    #[must_use]
    pub const fn holds(self, exists: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => !exists,
            Self::Present => exists,
        }
    }

    pub(super) const fn code(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::Absent => 1,
            Self::Present => 2,
        }
    }
}

impl DeadlineChange {
    /// Returns the deadline after the change.
    const fn after(self, before: Option<u64>) -> Option<u64> {
        match (self, before) {
            (Self::Keep, before) | (Self::AtIfNone(_), before @ Some(_)) => before,
            (Self::Clear, _) => None,
            (Self::At(time_ms), _) | (Self::AtIfNone(time_ms), None) => Some(time_ms),
        }
    }

    pub(super) const fn code(self) -> [u64; 2] {
        match self {
            Self::Keep => [0, 0],
            Self::Clear => [1, 0],
            Self::At(time_ms) => [2, time_ms],
            Self::AtIfNone(time_ms) => [3, time_ms],
        }
    }
}

impl DeadlineCondition {
    /// Returns true if the condition holds for a deadline that is to be replaced.
    #[must_use]
    pub fn holds(self, before: Option<u64>, new: u64) -> bool {
        match self {
            Self::Any => true,
            Self::None => before.is_none(),
            Self::Some => before.is_some(),
            Self::Earlier => before.is_some_and(|before| before < new),
            Self::Later => before.is_none_or(|before| before > new),
            Self::SomeLater => before.is_some_and(|before| before > new),
        }
    }

    pub(super) const fn code(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::None => 1,
            Self::Some => 2,
            Self::Earlier => 3,
            Self::Later => 4,
            Self::SomeLater => 5,
        }
    }
}

impl Table {
    pub(super) fn set_if(
        &mut self,
        key: Key<'_>,
        value: i64,
        presence: Presence,
        deadline: DeadlineChange,
    ) -> Outcome {
        let before = self.value(key);
        if !presence.holds(before.is_some()) {
            return Outcome::Value(before);
        }
        let deadline_ms = deadline.after(self.deadline(key));
        self.set(key, value, deadline_ms).map_or_else(|rejected| rejected, Outcome::Value)
    }

    /// Adds an amount within bounds, or up to them, and changes the deadline if the counter has changed.
    pub(super) fn add_with(
        &mut self,
        key: Key<'_>,
        amount: i64,
        [min, max]: [i64; 2],
        saturates: bool,
        deadline: DeadlineChange,
    ) -> Outcome {
        let Count { value: before, .. } = self.get(key).unwrap_or_default();
        let amount = if saturates && min <= max {
            let capped = (i128::from(before) + i128::from(amount)).clamp(min.into(), max.into());
            // It fits, unless the value was out of bounds before; then the amount is out of bounds as well.
            i64::try_from(capped - i128::from(before)).unwrap_or(amount)
        } else {
            amount
        };
        let Outcome::Value(Some(value)) = self.add_within(key, amount, min..=max) else {
            return Outcome::OutOfRange(before);
        };
        if let Some(place) = self.place_of(key) {
            let deadline_before = self.deadlines().get(place);
            let deadline_ms = deadline.after(deadline_before);
            if deadline_ms != deadline_before {
                self.set_deadline_at(place, deadline_ms);
            }
        }
        Outcome::Added { value, amount }
    }

    pub(super) fn expire_if(
        &mut self,
        key: Key<'_>,
        deadline_ms: u64,
        condition: DeadlineCondition,
    ) -> Outcome {
        let Some(place) = self.place_of(key) else { return Outcome::Value(None) };
        let before = self.deadlines().get(place);
        if condition.holds(before, deadline_ms) {
            self.set_deadline_at(place, Some(deadline_ms));
        }
        Outcome::Deadline(before)
    }

    fn deadline(&self, key: Key<'_>) -> Option<u64> {
        self.deadlines().get(self.place_of(key)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::with_hash;
    use crate::operation::Operation;

    type Model = BTreeMap<u8, (i64, Option<u64>)>;

    fn change() -> impl Strategy<Value = DeadlineChange> {
        prop_oneof![
            Just(DeadlineChange::Keep),
            Just(DeadlineChange::Clear),
            (0..40_u64).prop_map(DeadlineChange::At),
            (0..40_u64).prop_map(DeadlineChange::AtIfNone),
        ]
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let presence = prop_oneof![Just(Presence::Any), Just(Presence::Absent), Just(Presence::Present)];
        let condition = prop::sample::select(vec![
            DeadlineCondition::Any,
            DeadlineCondition::None,
            DeadlineCondition::Some,
            DeadlineCondition::Earlier,
            DeadlineCondition::Later,
            DeadlineCondition::SomeLater,
        ]);
        let set = (-9..9_i64, presence, change()).prop_map(|(value, presence, deadline)| Operation::SetIf {
            value,
            presence,
            deadline,
        });
        let add = (-9..9_i64, -9..0_i64, 0..9_i64, any::<bool>(), change()).prop_map(
            |(amount, min, max, saturates, deadline)| Operation::AddWith {
                amount,
                min,
                max,
                saturates,
                deadline,
            },
        );
        let expire = (0..40_u64, condition)
            .prop_map(|(deadline_ms, condition)| Operation::ExpireIf { deadline_ms, condition });
        prop_oneof![set, add, expire, Just(Operation::Add(1)), Just(Operation::RemoveAndGet)]
    }

    fn expected(model: &mut Model, name: u8, operation: Operation) -> Outcome {
        let before = model.get(&name).copied();
        let (value, deadline) = (before.map(|(value, _)| value), before.and_then(|(_, deadline)| deadline));
        let after = |change: DeadlineChange| match change {
            DeadlineChange::Keep => deadline,
            DeadlineChange::Clear => None,
            DeadlineChange::At(time_ms) => Some(time_ms),
            DeadlineChange::AtIfNone(time_ms) => deadline.or(Some(time_ms)),
        };
        match operation {
            Operation::SetIf { value: new, presence, deadline } => {
                let is_allowed = match presence {
                    Presence::Any => true,
                    Presence::Absent => before.is_none(),
                    Presence::Present => before.is_some(),
                };
                if is_allowed {
                    model.insert(name, (new, after(deadline)));
                }
                Outcome::Value(value)
            }
            Operation::AddWith { amount, min, max, saturates, deadline } => {
                let value = value.unwrap_or(0);
                let sum = if saturates { (value + amount).clamp(min, max) } else { value + amount };
                if sum < min || sum > max {
                    return Outcome::OutOfRange(value);
                }
                model.insert(name, (sum, after(deadline)));
                Outcome::Added { value: sum, amount: sum - value }
            }
            Operation::ExpireIf { deadline_ms, condition } => {
                let Some((value, before)) = before else { return Outcome::Value(None) };
                let (known, infinite) = (before.is_some(), before.unwrap_or(u64::MAX));
                let is_allowed = match condition {
                    DeadlineCondition::Any => true,
                    DeadlineCondition::None => !known,
                    DeadlineCondition::Some => known,
                    DeadlineCondition::Earlier => infinite < deadline_ms,
                    DeadlineCondition::Later => infinite > deadline_ms,
                    DeadlineCondition::SomeLater => known && infinite > deadline_ms,
                };
                if is_allowed {
                    model.insert(name, (value, Some(deadline_ms)));
                }
                Outcome::Deadline(before)
            }
            Operation::Add(amount) => {
                let sum = value.unwrap_or(0) + amount;
                model.insert(name, (sum, deadline));
                Outcome::Value(Some(sum))
            }
            _ => {
                model.remove(&name);
                Outcome::Value(value)
            }
        }
    }

    proptest! {
        #[test]
        fn conditional_operations_agree_with_a_sorted_map_as_time_passes(
            steps in prop::collection::vec((0..4_u8, operation(), 0..3_u64), 0..100),
        ) {
            let (mut table, mut model, mut now_ms) = (Table::default(), Model::new(), 0);
            for (name, operation, passes_ms) in steps {
                now_ms += passes_ms;
                table.advance(now_ms);
                model.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now_ms));
                let outcome = table.operate(with_hash(name.into(), &[name]), operation);
                let outcome = match outcome {
                    Outcome::Removed(count) => Outcome::Value(count.map(|count| count.value)),
                    other => other,
                };
                prop_assert_eq!(outcome, expected(&mut model, name, operation));
                model.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now_ms));
                let values = (0..4).map(|name| table.value(with_hash(u64::from(name), &[name])));
                let expected = (0..4).map(|name| model.get(&name).map(|(value, _)| *value));
                prop_assert_eq!(values.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_bound_that_is_farther_away_than_64_bits_is_not_reached() {
        let mut table = Table::default();
        let key = with_hash(1, b"a");
        let (min, max, deadline) = (i64::MIN, -5, DeadlineChange::Keep);
        table.operate(key, Operation::Set(i64::MAX));
        let add = Operation::AddWith { amount: -1, min, max, saturates: true, deadline };
        assert_eq!(table.operate(key, add), Outcome::OutOfRange(i64::MAX));
    }
}
