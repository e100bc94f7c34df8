use counter_store::{DurabilityError, OpenError};
use ractor_outbox::CallError;
use ractor_supervision::SupervisorError;
use ractor_transport::{NodeServerError, TransportError};

use crate::partitions::PartitionError;
use crate::record::{PartitionId, Record};
use crate::table::Fork;

/// Error of a [`StreamNode`](crate::StreamNode).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The member's directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store has failed: counts may not be on disk.
    #[error(transparent)]
    Durability(#[from] DurabilityError),
    /// The member's actors have not started.
    #[error("member's actors failed to start")]
    Actors(#[from] SupervisorError),
    /// The member cannot listen for others.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The node server did not start.
    #[error(transparent)]
    Server(#[from] NodeServerError),
    /// The partition has not started.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Somebody owns the partition in this process already.
    #[error("partition {0} is owned by this member already")]
    Owned(PartitionId),
    /// The partition has stopped.
    #[error("partition {id} has stopped")]
    Forked {
        /// The partition.
        id: PartitionId,
        /// Why it has.
        #[source]
        fork: Fork,
    },
    /// The member has stopped.
    #[error("member has stopped")]
    Stopped,
}

/// Error of reading counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A partition has stopped, and its counts cannot be relied on.
    #[error("partition {id} has stopped")]
    Forked {
        /// The partition.
        id: PartitionId,
        /// Why it has.
        #[source]
        fork: Fork,
    },
    /// The member has stopped.
    #[error("member has stopped")]
    Stopped,
}

/// Reason why a record did not go in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError<'a> {
    /// The partition's actor is behind. Pause, and send the record again.
    #[error("too many records wait to be counted: pause, and send this one again")]
    Full(Record<'a>),
    /// The partition has stopped.
    #[error("partition has stopped")]
    Forked(#[source] Fork),
    /// The member has stopped.
    #[error("member has stopped")]
    Stopped,
}

impl From<CallError> for StreamError {
    fn from(_: CallError) -> Self {
        Self::Stopped
    }
}

impl From<CallError> for ReadError {
    fn from(_: CallError) -> Self {
        Self::Stopped
    }
}
