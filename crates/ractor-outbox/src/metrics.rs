use std::ops::Add;

/// Counts of one outbox's items by outcome. Counts of several outboxes can be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Items that are in the outbox now.
    pub pending: u64,
    /// Items that the actor has taken out and applied.
    pub delivered: u64,
    /// Parcels that were sent to carry items.
    pub parcels: u64,
    /// Items returned to the sender because the outbox was full.
    pub refused: u64,
    /// Items dropped because the outbox was full.
    pub dropped: u64,
}

impl Add for Metrics {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            delivered: self.delivered + other.delivered,
            parcels: self.parcels + other.parcels,
            refused: self.refused + other.refused,
            dropped: self.dropped + other.dropped,
        }
    }
}
