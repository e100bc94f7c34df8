use ractor_outbox::Batch;
use serde::{Deserialize, Serialize};

/// Any number of operations on one counter, folded into one.
///
/// Increments and decrements commute, so while they wait for the counter they can be added up. As an outbox's
/// [`Batch`], a delta takes signed amounts and is never full.
///
/// ```
/// use counter_protocol::Delta;
/// use ractor_outbox::Batch;
///
/// let mut delta = Delta::default();
/// for amount in [5, -2] {
///     delta.push(amount).unwrap();
/// }
/// assert_eq!(delta, Delta { value: 3, operations: 2 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Increments minus decrements.
    pub value: i128,
    /// Number of operations that have been folded.
    pub operations: u64,
}

impl From<i128> for Delta {
    /// Creates a delta of one operation.
    fn from(amount: i128) -> Self {
        Self { value: amount, operations: 1 }
    }
}

impl Batch for Delta {
    type Item<'a> = i128;

    #[inline]
    fn push<'a>(&mut self, amount: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        self.value += amount;
        self.operations += 1;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.operations
    }

    fn empty(&self) -> Self {
        Self::default()
    }

    fn put_back(&mut self, older: Self) {
        self.value += older.value;
        self.operations += older.operations;
    }
}
