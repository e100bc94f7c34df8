use serde::{Deserialize, Serialize};

use crate::delta::Delta;

/// Value of a counter and the number of operations that have led to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Applied increments minus applied decrements, plus the initial value.
    pub value: i64,
    /// Number of applied operations.
    pub operations: u64,
}

/// Error of an operation that would take the value out of the range of `i64`, or the number of operations out of `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("counter overflow")]
pub struct Overflow;

impl Count {
    /// Applies operations that were folded into one, together.
    ///
    /// # Errors
    /// [`Overflow`] if their sum does not fit: nothing has changed.
    pub fn apply(&mut self, delta: Delta) -> Result<(), Overflow> {
        let value = i128::from(self.value).checked_add(delta.value).ok_or(Overflow)?;
        let value = i64::try_from(value).map_err(|_| Overflow)?;
        let operations = self.operations.checked_add(delta.operations).ok_or(Overflow)?;
        *self = Self { value, operations };
        Ok(())
    }
}
