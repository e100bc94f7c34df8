use std::io;

use counter_keyspace::{KeyspaceError, SessionError};

/// Error of opening, checking or changing a store that nobody has open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Somebody has the store open.
    #[error("store in use by another process; stop that one first")]
    Locked,
    /// A newer version of this program has written it.
    #[error("store in format {found}, newer than format {known} of this version; use the newer version")]
    Newer {
        /// Version of the format on disk.
        found: u64,
        /// Newest version that can be read.
        known: u64,
    },
    /// The files are not as they were written.
    #[error("store damaged: {0}; restore a backup, or open what is left with --accept-loss")]
    Damaged(Damage),
    /// The files are not as they were written, and no consistent state is left.
    #[error("store damaged beyond repair: {0}; restore a backup")]
    Lost(Damage),
    /// There is no store in the directory.
    #[error("no store in this directory")]
    Absent,
    /// There is a store in the directory already.
    #[error("directory already holds a store; choose an empty one")]
    Exists,
    /// The store replicates, so its own table is not all that it counts.
    #[error("store has, or ever had, peers; open it as a node of its cluster")]
    Replicated,
    /// A store is to replicate whose counters expire.
    #[error(
        "store has counters that expire ({deadlines}), which need one owner; persist them before its first peer"
    )]
    Deadlines {
        /// Number of counters with a deadline.
        deadlines: u64,
    },
    /// The store has been opened so often that its cluster has no room for another incarnation.
    #[error(
        "store knows as many replicas as there may be; begin a new cluster with `counter-store dump --sum` of one node"
    )]
    TooManyReplicas,
    /// A counter was loaded twice.
    #[error("several counters of the same name")]
    SameName,
    /// The disk has failed.
    #[error("failed to {action}")]
    Disk {
        /// Operation that failed.
        action: &'static str,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The keyspace has not started.
    #[error("failed to start the keyspace")]
    Keyspace(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The damage is part of the line, so it is no source that would repeat it.
impl From<Damage> for OpenError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl OpenError {
    /// Returns the conversion of an error of the operating system.
    pub(crate) fn disk(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Disk { action, source }
    }
}

/// Damage to the files of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Part of the log is not there.
    #[error("log lacks its frames {} to {}", after + 1, before - 1)]
    Missing {
        /// Last frame that is there.
        after: u64,
        /// Next frame that is there.
        before: u64,
    },
    /// Part of a segment cannot be read, although it was durable.
    #[error("log is unreadable from frame {sequence} on, in or before segment {segment}")]
    Hole {
        /// Number of the segment.
        segment: u64,
        /// First frame that cannot be read.
        sequence: u64,
    },
    /// The end of the log is not there, although it was durable.
    #[error("log ends at frame {end}, but was durable up to frame {needed} according to the {by}")]
    EndsEarly {
        /// Last frame that is there.
        end: u64,
        /// Last frame that was durable.
        needed: u64,
        /// File that says so.
        by: &'static str,
    },
    /// The log is not the one that the watermark belongs to.
    #[error("log differs at frame {sequence} from the one that the watermark belongs to")]
    OtherChain {
        /// Frame that differs.
        sequence: u64,
    },
    /// A segment distributes names in another way than the state that it changes.
    #[error("segment {segment} belongs to a state with other shards")]
    OtherShards {
        /// Number of the segment.
        segment: u64,
    },
    /// A file belongs to another store.
    #[error("{file} belongs to another store")]
    OtherStore {
        /// Name of the file.
        file: String,
    },
    /// The watermark cannot be read.
    #[error("watermark is missing or unreadable")]
    NoWatermark,
    /// A snapshot cannot be read.
    #[error("snapshot {file} is unreadable")]
    Snapshot {
        /// Name of the file.
        file: String,
    },
    /// A record cannot be understood.
    #[error("malformed record in the log or snapshot")]
    Malformed,
    /// The counters of a shard do not add up to its totals.
    #[error("shard {shard} does not add up to the totals that it had")]
    Totals {
        /// Number of the shard.
        shard: usize,
    },
    /// The entries of another replica do not add up.
    #[error("column of {replica} does not add up to the totals that it had")]
    ColumnTotals {
        /// The replica.
        replica: String,
    },
}

/// Error of an operation that waits for its durability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurabilityError {
    /// The disk has failed: the operation has been applied in memory, but may or may not survive.
    #[error("unknown outcome: the disk failed while the operation was being made durable")]
    UnknownOutcome,
    /// The disk has failed, and the store is configured to stop counting then. Nothing has been applied.
    #[error("store has stopped counting because its disk failed")]
    DiskFailed,
    /// The store has been shut down: the operation may or may not be durable.
    #[error("unknown outcome: the store shut down")]
    Stopped,
    /// The keyspace has not applied the operation.
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    /// The session does not allow the request.
    #[error(transparent)]
    Session(#[from] SessionError),
}
