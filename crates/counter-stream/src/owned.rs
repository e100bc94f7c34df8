use counter_store::Commits;
use ractor_outbox::SendError as OutboxError;
use tokio::sync::watch;

use crate::error::{SendError, StreamError};
use crate::partition::{Partition, PartitionStatus};
use crate::record::{PartitionId, Position, Record};
use crate::table::Fork;

/// Partition that this member reads. Dropping it gives the partition up at once, without harm: what was sent counts,
/// and whoever owns it next goes on from where it stands there.
#[derive(Debug)]
pub struct OwnedPartition {
    partition: Partition,
    position: Position,
    commits: Commits,
}

impl OwnedPartition {
    /// Makes a partition this member's.
    pub(crate) async fn new(partition: Partition, commits: Commits) -> Result<Self, StreamError> {
        let was_owned =
            partition.status.send_if_modified(|status| !std::mem::replace(&mut status.is_owned, true));
        if !was_owned {
            return Err(StreamError::Owned((*partition.id).clone()));
        }
        // From here on, dropping this gives the partition up.
        let mut owned = Self { partition, position: Position::default(), commits };
        // Cuts of others are ignored from now on, so this is where it begins.
        let standing = owned.partition.standing().await?;
        if let Some(fork) = standing.fork {
            return Err(StreamError::Forked { id: owned.id().clone(), fork });
        }
        owned.position = standing.position;
        Ok(owned)
    }

    /// Returns the identity of the partition.
    #[must_use]
    pub fn id(&self) -> &PartitionId {
        &self.partition.id
    }

    /// Returns the position from which on records have to be sent, in the order of their offsets.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Sends a record to be counted.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Full`] if [`RECORDS_WAITING`](crate::RECORDS_WAITING) records wait already.
    pub fn try_send<'a>(&self, record: Record<'a>) -> Result<(), SendError<'a>> {
        self.check()?;
        self.partition.outbox.try_send(record).map_err(|error| match error {
            OutboxError::Full(record) => SendError::Full(record),
            OutboxError::Closed(_) => SendError::Stopped,
        })
    }

    /// Sends a record to be counted, as soon as there is room for it.
    ///
    /// # Errors
    /// [`SendError`], never [`SendError::Full`].
    pub async fn send<'a>(&self, record: Record<'a>) -> Result<(), SendError<'a>> {
        self.check()?;
        self.partition.outbox.send(record).await.map_err(|_| SendError::Stopped)
    }

    #[cfg(test)]
    pub(crate) const fn partition(&self) -> &Partition {
        &self.partition
    }

    fn check(&self) -> Result<(), SendError<'static>> {
        self.fork().map_or(Ok(()), |fork| Err(SendError::Forked(fork)))
    }

    /// Returns why the partition has stopped, if it has.
    #[must_use]
    pub fn fork(&self) -> Option<Fork> {
        self.partition.status.borrow().fork
    }

    /// Returns what is known of the partition here.
    #[must_use]
    pub fn status(&self) -> PartitionStatus {
        *self.partition.status.borrow()
    }

    /// Notes where the log ends now, for [`PartitionStatus::lag`].
    pub fn note_end(&self, offset: u64) {
        let note = |status: &mut PartitionStatus| status.end.replace(offset) != Some(offset);
        self.partition.status.send_if_modified(note);
    }

    /// Returns the position up to which all is durable here, now and later.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Position> {
        self.partition.committed.subscribe()
    }

    /// Counts what was sent, makes it durable, and gives the partition up. Returns where it stands then.
    ///
    /// # Errors
    /// [`StreamError`]. The partition has been given up even so.
    pub async fn release(self) -> Result<Position, StreamError> {
        let standing = self.partition.standing().await?;
        self.commits.wait().await?;
        match standing.fork {
            Some(fork) => Err(StreamError::Forked { id: self.id().clone(), fork }),
            None => Ok(standing.position),
        }
    }
}

impl Drop for OwnedPartition {
    fn drop(&mut self) {
        // Whoever reads it next knows where it ends.
        self.partition.status.send_modify(|status| (status.is_owned, status.end) = (false, None));
    }
}
