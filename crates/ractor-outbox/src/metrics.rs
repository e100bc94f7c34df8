use std::ops::Add;

/// Counts of the items of one outbox by outcome. Add up several for a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Items that are inside now.
    pub pending: u64,
    /// Items that the actor has taken out and applied.
    pub delivered: u64,
    /// Parcels sent to carry them.
    pub parcels: u64,
    /// Items given back to the sender because the outbox was full.
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
