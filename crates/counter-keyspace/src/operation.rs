mod conditional;

use std::ops::RangeInclusive;

use counter_protocol::Count;

use crate::key::Key;
use crate::round::Outcome;
use crate::table::Table;

pub use conditional::{DeadlineChange, DeadlineCondition, Presence};

/// Operation on one counter, with an [`Outcome`] of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Returns the value.
    Get,
    /// Returns the value and the number of operations so far.
    GetCount,
    /// Adds an amount, which may be negative, and returns the new value. Creates the counter if there is none.
    Add(i64),
    /// Adds an amount if the new value is within bounds, both included, and returns it. A counter that does not exist
    /// counts as 0.
    AddWithin {
        /// Amount to add, which may be negative.
        amount: i64,
        /// Smallest new value.
        min: i64,
        /// Largest new value.
        max: i64,
    },
    /// Sets the value and returns it. Creates the counter if there is none, and removes its deadline.
    Set(i64),
    /// Sets the value like [`Set`](Self::Set), but returns the value before.
    GetAndSet(i64),
    /// Removes the counter and returns what it was.
    RemoveAndGet,
    /// Lets the counter expire at a time in milliseconds since the Unix epoch, and returns the deadline that it had, or
    /// `Value(None)` if there is no counter.
    Expire(u64),
    /// Removes the deadline, and returns it like [`Expire`](Self::Expire).
    Persist,
    /// Returns the time until the counter expires, or `Value(None)` if there is no counter.
    Ttl,
    /// Sets the value if a condition holds, changes the deadline along with it, and returns the value before.
    SetIf {
        /// New value.
        value: i64,
        /// Condition, which the value before tells to have held or not.
        presence: Presence,
        /// Change of the deadline.
        deadline: DeadlineChange,
    },
    /// Adds an amount within bounds, and changes the deadline along with it. Returns [`Outcome::Added`], or
    /// [`Outcome::OutOfRange`] if nothing has changed.
    AddWith {
        /// Amount to add, which may be negative.
        amount: i64,
        /// Smallest new value.
        min: i64,
        /// Largest new value.
        max: i64,
        /// A new value beyond a bound becomes that bound.
        saturates: bool,
        /// Change of the deadline.
        deadline: DeadlineChange,
    },
    /// Lets the counter expire like [`Expire`](Self::Expire) if a condition holds. Returns the deadline before, which
    /// tells whether it has held.
    ExpireIf {
        /// New deadline, in milliseconds since the Unix epoch.
        deadline_ms: u64,
        /// Condition on the deadline before.
        condition: DeadlineCondition,
    },
}

impl Operation {
    /// Returns true if the operation changes nothing, whatever its outcome.
    pub(crate) const fn is_question(self) -> bool {
        matches!(self, Self::Get | Self::GetCount | Self::Ttl)
    }

    /// Returns what the operation is called if it is not cumulative: of two states of a counter that it led to, the
    /// one with more operations need not be the newer. `None` if it is.
    #[must_use]
    pub const fn needs_one_owner(self) -> Option<&'static str> {
        match self {
            Self::Get | Self::GetCount | Self::Add(_) | Self::Persist | Self::Ttl => None,
            Self::AddWithin { .. } | Self::AddWith { .. } => Some("add within bounds"),
            Self::Set(_) | Self::SetIf { .. } => Some("set"),
            Self::GetAndSet(_) => Some("get and set"),
            Self::RemoveAndGet => Some("remove"),
            Self::Expire(_) | Self::ExpireIf { .. } => Some("expire"),
        }
    }

    /// Returns true if the operation creates the counter if there is none.
    const fn creates(self) -> bool {
        match self {
            Self::Add(_)
            | Self::AddWithin { .. }
            | Self::AddWith { .. }
            | Self::Set(_)
            | Self::GetAndSet(_)
            | Self::SetIf { presence: Presence::Any | Presence::Absent, .. } => true,
            Self::Get
            | Self::GetCount
            | Self::RemoveAndGet
            | Self::Expire(_)
            | Self::ExpireIf { .. }
            | Self::Persist
            | Self::Ttl
            | Self::SetIf { presence: Presence::Present, .. } => false,
        }
    }

    /// Returns the operation as numbers, which stay the same in all versions.
    pub(crate) const fn code(self) -> [u64; 4] {
        match self {
            Self::Get => [0, 0, 0, 0],
            Self::Add(amount) => [1, amount.cast_unsigned(), 0, 0],
            Self::AddWithin { amount, min, max } => {
                [2, amount.cast_unsigned(), min.cast_unsigned(), max.cast_unsigned()]
            }
            Self::Set(value) => [3, value.cast_unsigned(), 0, 0],
            Self::GetAndSet(value) => [4, value.cast_unsigned(), 0, 0],
            Self::RemoveAndGet => [5, 0, 0, 0],
            Self::Expire(deadline_ms) => [6, deadline_ms, 0, 0],
            Self::Persist => [7, 0, 0, 0],
            Self::Ttl => [8, 0, 0, 0],
            Self::SetIf { value, presence, deadline } => {
                let [change, time_ms] = deadline.code();
                [9, value.cast_unsigned(), presence.code() << 8 | change, time_ms]
            }
            // Its bounds are in `more_code`.
            Self::AddWith { amount, saturates, deadline, .. } => {
                let [change, time_ms] = deadline.code();
                [10, amount.cast_unsigned(), (saturates as u64) << 8 | change, time_ms]
            }
            Self::ExpireIf { deadline_ms, condition } => [11, deadline_ms, condition.code(), 0],
            Self::GetCount => [12, 0, 0, 0],
        }
    }

    /// Returns what [`code`](Self::code) has no room for.
    pub(crate) const fn more_code(self) -> Option<[u64; 2]> {
        match self {
            Self::AddWith { min, max, .. } => Some([min.cast_unsigned(), max.cast_unsigned()]),
            _ => None,
        }
    }
}

impl Table {
    /// Applies one operation, and returns its outcome.
    ///
    /// An operation whose result would leave the range of `i64` is rejected, also in a table that carries.
    pub(crate) fn operate(&mut self, key: Key<'_>, operation: Operation) -> Outcome {
        if !operation.is_question() {
            self.reclaim(key);
        }
        if operation.creates() && self.is_full() && self.place_of(key).is_none() {
            self.count_rejected(1);
            return Outcome::Full;
        }
        match operation {
            Operation::Get => Outcome::Value(self.value(key)),
            Operation::GetCount => Outcome::Count(self.get(key)),
            Operation::Add(amount) => self.add_within(key, amount, i64::MIN..=i64::MAX),
            Operation::AddWithin { amount, min, max } => self.add_within(key, amount, min..=max),
            Operation::Set(value) => match self.set(key, value, None) {
                Ok(_) => Outcome::Value(Some(value)),
                Err(rejected) => rejected,
            },
            Operation::GetAndSet(value) => {
                self.set(key, value, None).map_or_else(|rejected| rejected, Outcome::Value)
            }
            Operation::RemoveAndGet => Outcome::Removed(self.remove(key)),
            Operation::Expire(deadline_ms) => self.set_deadline(key, Some(deadline_ms)),
            Operation::Persist => self.set_deadline(key, None),
            Operation::Ttl => self.ttl(key),
            Operation::SetIf { value, presence, deadline } => self.set_if(key, value, presence, deadline),
            Operation::AddWith { amount, min, max, saturates, deadline } => {
                self.add_with(key, amount, [min, max], saturates, deadline)
            }
            Operation::ExpireIf { deadline_ms, condition } => self.expire_if(key, deadline_ms, condition),
        }
    }

    fn add_within(&mut self, key: Key<'_>, amount: i64, bounds: RangeInclusive<i64>) -> Outcome {
        if self.carries_nothing()
            && let Some(value) = self.add_to_existing(key, amount, &bounds)
        {
            return Outcome::Value(Some(value));
        }
        let before = self.get(key).unwrap_or_default();
        let value = before.value.checked_add(amount).filter(|value| bounds.contains(value));
        match (value, before.operations.checked_add(1)) {
            (Some(value), Some(_)) if !self.is_carried(key) => {
                self.apply(key, i128::from(amount).into());
                Outcome::Value(Some(value))
            }
            _ => self.reject(key),
        }
    }

    /// Returns the value before.
    fn set(&mut self, key: Key<'_>, value: i64, deadline_ms: Option<u64>) -> Result<Option<i64>, Outcome> {
        let (before, operations) = (self.value(key), self.get(key).map_or(0, |count| count.operations));
        let operations = operations.checked_add(1).ok_or_else(|| self.reject(key))?;
        self.put(key, Count { value, operations }, deadline_ms);
        Ok(before)
    }

    fn reject(&mut self, key: Key<'_>) -> Outcome {
        self.count_rejected(1);
        Outcome::OutOfRange(self.value(key).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::with_hash;

    fn operation() -> impl Strategy<Value = Operation> {
        let value = || prop_oneof![-9..=9_i64, Just(i64::MIN), Just(i64::MAX)];
        prop_oneof![
            Just(Operation::Get),
            Just(Operation::GetCount),
            value().prop_map(Operation::Add),
            (value(), -9..0_i64, 0..9_i64).prop_map(|(amount, min, max)| Operation::AddWithin {
                amount,
                min,
                max
            }),
            value().prop_map(Operation::Set),
            value().prop_map(Operation::GetAndSet),
            Just(Operation::RemoveAndGet),
        ]
    }

    fn expected(model: &mut BTreeMap<u8, Count>, name: u8, operation: Operation) -> Outcome {
        let before = model.get(&name).copied();
        let Count { value, operations } = before.unwrap_or_default();
        let mut set = |value| _ = model.insert(name, Count { value, operations: operations + 1 });
        match operation {
            Operation::Get => Outcome::Value(before.map(|count| count.value)),
            Operation::GetCount => Outcome::Count(before),
            Operation::Add(_) | Operation::AddWithin { .. } => {
                let (amount, min, max) = match operation {
                    Operation::AddWithin { amount, min, max } => (amount, min, max),
                    Operation::Add(amount) => (amount, i64::MIN, i64::MAX),
                    _ => unreachable!(),
                };
                match i64::try_from(i128::from(value) + i128::from(amount)) {
                    Ok(sum) if (min..=max).contains(&sum) => {
                        set(sum);
                        Outcome::Value(Some(sum))
                    }
                    _ => Outcome::OutOfRange(value),
                }
            }
            Operation::Set(value) => {
                set(value);
                Outcome::Value(Some(value))
            }
            Operation::GetAndSet(value) => {
                set(value);
                Outcome::Value(before.map(|count| count.value))
            }
            Operation::RemoveAndGet => Outcome::Removed(model.remove(&name)),
            _ => unreachable!(),
        }
    }

    proptest! {
        #[test]
        fn operations_agree_with_a_sorted_map(
            steps in prop::collection::vec((0..5_u8, operation()), 0..100),
        ) {
            let (mut table, mut model, mut rejected) = (Table::default(), BTreeMap::new(), 0);
            for (name, operation) in steps {
                let outcome = table.operate(with_hash(name.into(), &[name]), operation);
                prop_assert_eq!(outcome, expected(&mut model, name, operation));
                rejected += u128::from(matches!(outcome, Outcome::OutOfRange(_)));
            }
            prop_assert_eq!(table.rejected_operations(), rejected);
            prop_assert_eq!(table.total_value(), model.values().map(|count| i128::from(count.value)).sum::<i128>());
            let operations = model.values().map(|count| u128::from(count.operations)).sum::<u128>();
            prop_assert_eq!((table.total_operations(), table.len()), (operations, model.len()));
        }
    }

    #[test]
    fn a_counter_that_is_carried_beyond_64_bits_accepts_only_a_new_value() {
        let mut table = Table::new(crate::table::OverflowPolicy::Carry);
        let key = with_hash(1, b"a");
        table.apply(key, i128::from(i64::MAX).into());
        table.apply(key, 5.into());
        assert_eq!(table.operate(key, Operation::Add(1)), Outcome::OutOfRange(i64::MAX));
        assert_eq!(table.operate(key, Operation::GetAndSet(7)), Outcome::Value(Some(i64::MAX)));
        assert_eq!(table.operate(key, Operation::Add(1)), Outcome::Value(Some(8)));
        assert_eq!(table.total_value(), 8);
    }
}
