use counter_protocol::Count;
use serde::{Deserialize, Serialize};

/// Sum of the counts of one replica, or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Applied increments minus applied decrements.
    pub value: i128,
    /// Applied operations.
    pub operations: u128,
}

/// Sums of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sum over all its names.
    pub total: Total,
    /// Number of names that it has counted.
    pub names: u64,
}

impl Total {
    /// Adds a count.
    pub fn add(&mut self, count: Count) {
        self.value += i128::from(count.value);
        self.operations += u128::from(count.operations);
    }

    fn remove(&mut self, count: Count) {
        self.value -= i128::from(count.value);
        self.operations -= u128::from(count.operations);
    }
}

impl FromIterator<Count> for Total {
    fn from_iter<I: IntoIterator<Item = Count>>(counts: I) -> Self {
        let mut total = Self::default();
        counts.into_iter().for_each(|count| total.add(count));
        total
    }
}

impl Totals {
    /// Replaces one count by another. An entry without operations does not exist.
    pub(super) fn replace(&mut self, old: Count, new: Count) {
        self.total.remove(old);
        self.total.add(new);
        self.names += u64::from(new.operations > 0);
        self.names -= u64::from(old.operations > 0);
    }
}
