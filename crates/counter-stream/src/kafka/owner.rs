//! Who counts what the consumer reads.

use std::error::Error;

use tokio::sync::watch;

use crate::record::{PartitionId, Position, Record};

/// Node that counts partitions.
pub trait Owner: Clone + Send + Sync + 'static {
    /// Where the records of a partition go.
    type Partition: Destination;

    /// Takes a partition over, from the offset that the node holds. The future may be dropped at any time.
    fn own(
        &self,
        partition: PartitionId,
    ) -> impl Future<Output = Result<Self::Partition, Box<dyn Error + Send + Sync>>> + Send;
}

/// Partition that a node owns. Dropping it gives it up at once, which loses nothing: its next owner counts from the
/// offset that it holds.
pub trait Destination: Send + 'static {
    /// Returns where to begin.
    fn position(&self) -> Position;

    /// Hands over a record. Those below the position of the partition are ignored.
    ///
    /// # Errors
    /// Returns the record if there is no room, or nobody to count it.
    fn try_send<'a>(&self, record: Record<'a>) -> Result<(), Refused<'a>>;

    /// Learns where the log ends now.
    fn note_end(&self, offset: u64);

    /// Watches the position up to which records are counted durably.
    fn committed(&self) -> watch::Receiver<Position>;

    /// Gives the partition up once everything that was handed over is counted and durable.
    fn release(self) -> impl Future<Output = ()> + Send;
}

/// Record that was not taken.
#[derive(Debug)]
pub enum Refused<'a> {
    /// There is no room at the moment.
    Full(Record<'a>),
    /// The partition counts no more, for a reason.
    Closed(String),
}
