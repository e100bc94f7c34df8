//! A node of this crate as the owner of what the consumer reads.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::owner::{Destination, Owner, Refused};
use crate::error::{SendError, StreamError};
use crate::node::StreamNode;
use crate::owned::OwnedPartition;
use crate::record::{PartitionId, Position, Record};

/// Interval between attempts to take a partition over, while a task that was told to drop it has not done so yet.
const RETRY: Duration = Duration::from_millis(10);
/// Maximum number of these attempts.
const ATTEMPTS: u32 = 500;

impl Owner for Arc<StreamNode> {
    type Partition = OwnedPartition;

    async fn own(&self, partition: PartitionId) -> Result<OwnedPartition, Box<dyn Error + Send + Sync>> {
        for _ in 1..ATTEMPTS {
            match StreamNode::own(self, partition.clone()).await {
                Err(StreamError::Owned(_)) => sleep(RETRY).await,
                owned => return Ok(owned?),
            }
        }
        Ok(StreamNode::own(self, partition).await?)
    }
}

impl Destination for OwnedPartition {
    fn position(&self) -> Position {
        Self::position(self)
    }

    fn try_send<'a>(&self, record: Record<'a>) -> Result<(), Refused<'a>> {
        Self::try_send(self, record).map_err(|error| match error {
            SendError::Full(record) => Refused::Full(record),
            SendError::Forked(_) | SendError::Stopped => Refused::Closed(error.to_string()),
        })
    }

    fn note_end(&self, offset: u64) {
        Self::note_end(self, offset);
    }

    fn committed(&self) -> watch::Receiver<Position> {
        Self::committed(self)
    }

    async fn release(self) {
        let id = self.id().clone();
        if let Err(error) = Self::release(self).await {
            tracing::warn!(partition = %id, %error, "partition not released in order");
        }
    }
}
