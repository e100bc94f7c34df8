//! One counter of a partition.

use serde::{Deserialize, Serialize};

/// Sum of one counter, and where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Sum of the amounts.
    pub value: i128,
    /// Number of operations, up to [`MAX_OPERATIONS`](Self::MAX_OPERATIONS).
    pub operations: u64,
    /// Offset behind the last record of this name. 0 if there was none.
    pub as_of: u64,
    /// It does not fit into one entry of a store, or once did not.
    pub(crate) is_wide: bool,
}

/// Sum of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Total {
    /// Sum of the amounts.
    pub value: i128,
    /// Number of operations.
    pub operations: u128,
}

impl Counted {
    /// Number at which operations are not counted further. It is the same whoever counts them.
    pub const MAX_OPERATIONS: u64 = u64::MAX - 1;

    pub(crate) fn add(&mut self, amount: i64, operations: u64, as_of: u64) {
        self.value = self.value.wrapping_add(i128::from(amount));
        self.operations = self.operations.saturating_add(operations).min(Self::MAX_OPERATIONS);
        self.as_of = as_of;
    }

    /// Notes whether it fits into one entry of a store: a sum of 64 bits of as many operations.
    pub(crate) fn widen(&mut self) {
        let is_plain =
            i64::try_from(self.value).is_ok_and(|value| u64::try_from(value) == Ok(self.operations));
        self.is_wide |= !is_plain;
    }

    pub(crate) const fn exists(&self) -> bool {
        self.as_of > 0
    }

    pub(crate) fn total(self) -> Total {
        Total { value: self.value, operations: self.operations.into() }
    }
}

impl Total {
    /// Returns the sum of what two partitions have counted.
    #[must_use]
    pub const fn merge(self, Self { value, operations }: Self) -> Self {
        Self {
            value: self.value.saturating_add(value),
            operations: self.operations.saturating_add(operations),
        }
    }

    /// Takes an entry out of the sum, and a later state of it in.
    pub(crate) fn replace(&mut self, old: Counted, new: Counted) {
        self.value = self.value.wrapping_add(new.value.wrapping_sub(old.value));
        let operations = u128::from(new.operations).wrapping_sub(old.operations.into());
        self.operations = self.operations.wrapping_add(operations);
    }

    /// Returns the value if it fits into 64 bits, as most protocols demand.
    ///
    /// # Errors
    /// [`OutOfRange`].
    pub fn value_i64(self) -> Result<i64, OutOfRange> {
        self.value.try_into().map_err(|_| OutOfRange)
    }
}

/// Error: a sum is beyond 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sum beyond 64 bits")]
pub struct OutOfRange;
