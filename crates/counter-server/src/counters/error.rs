use counter_cluster::{AcknowledgeError, Alarm};
use counter_keyspace::{KeyspaceError, SessionError};
use counter_protocol::NameTooLong;
use counter_store::{DurabilityError, TooManySessions};
use counter_stream::producer::ProducerError;
use counter_stream::{ReadError, StreamError};

use super::positions::Positions;

/// Error of [`Counters`](super::Counters).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CountersError {
    /// The counters are still being read from the disk. Nothing has been applied.
    #[error("counters are being loaded")]
    Loading,
    /// The name is too long for a counter. Nothing has been applied.
    #[error(transparent)]
    NameTooLong(#[from] NameTooLong),
    /// The operations would create more counters than the limit allows. Nothing has been applied.
    #[error("too many counters; remove some, or raise the limit")]
    TooManyNames,
    /// Durability beyond memory was asked of a server that keeps its counters in memory. Nothing has been applied.
    #[error("counters are kept in memory only")]
    NotDurable,
    /// The disk has failed, and the server is configured to stop counting then. Nothing has been applied.
    #[error("counting has stopped because the disk failed")]
    DiskFailed,
    /// The operation may have been applied or not, or may not be durable.
    #[error("unknown outcome: {0}")]
    UnknownOutcome(&'static str),
    /// The counters have stopped. Nothing has been applied.
    #[error("counters have stopped")]
    Stopped,
    /// The client has as many sessions open as it may.
    #[error("{limit} sessions are open, which is the limit; close one")]
    TooManySessions {
        /// Maximum number of sessions that a client has open.
        limit: usize,
    },
    /// Removing all counters is not allowed. Nothing has been removed.
    #[error("removing all counters is not allowed by this server")]
    RemovalForbidden,
    /// The session has ended, or was never opened here. Whether the request was applied is unknown.
    #[error("session has expired, outcome unknown")]
    SessionExpired,
    /// The session has sent a request with a greater sequence number. Whether this one was applied is unknown.
    #[error("request is superseded by a later one of its session, outcome unknown")]
    Superseded,
    /// The session has sent another request with this sequence number. This one has not been applied.
    #[error("sequence number of the session belongs to another request")]
    OtherRequest,
    /// The session belongs to another node. The request has not been applied.
    #[error("session belongs to node {node}; use it there")]
    OtherNode {
        /// Name of the node.
        node: String,
    },
    /// Other nodes have copies of the counters. Nothing has been applied.
    #[error("{command} needs one owner; this store is replicated")]
    NeedsOneOwner {
        /// Name of the operation.
        command: &'static str,
    },
    /// Too few other nodes are connected. Nothing has been applied.
    #[error("{wanted} other nodes are to hold it, and {connected} are connected")]
    TooFewPeers {
        /// Number of nodes that are to hold it.
        wanted: usize,
        /// Number of nodes that are connected.
        connected: usize,
    },
    /// Other nodes have not answered in time, so their latest counts may be missing. Nothing has been applied.
    #[error("no answer in time from {nodes}")]
    Unanswered {
        /// Names of these nodes.
        nodes: String,
    },
    /// The counters follow a topic, whose records only ever add. Nothing has been applied.
    #[error("{command} is not possible on counts that follow a topic")]
    NotOnTopic {
        /// Name of the operation.
        command: &'static str,
    },
    /// The topic's records are mapped such that increments would count something else. Nothing has been applied.
    #[error("increments need a topic that is counted with --name-from key --amount-from value")]
    ReadOnlyTopic,
    /// Too many increments wait for the log. Nothing has been applied.
    #[error("too many increments wait for the log; try again")]
    LogFull,
    /// Brokers refuse increments, and would again. Nothing has been applied.
    #[error("log refuses records: {0}")]
    LogRefuses(String),
    /// The increments are in the log, and count once, but have not been counted here in time.
    #[error("in the log at {positions}, and not counted here in time; do not send it again")]
    NotCounted {
        /// Positions behind them.
        positions: Positions,
    },
    /// The log is not counted up to positions in time.
    #[error("not counted up to {positions} in time, but to {behind}")]
    NotReached {
        /// The positions.
        positions: Positions,
        /// Offsets of the partitions that are behind.
        behind: Positions,
    },
    /// A partition of the topic has stopped, so no sum can be relied on.
    #[error("{0}")]
    PartitionStopped(String),
    /// Something was asked about the log of a topic, and there is none.
    #[error("counters follow no topic")]
    NoTopic,
    /// The node acknowledges nothing any more. Nothing has been applied, or the outcome is unknown.
    #[error(transparent)]
    Alarm(Alarm),
}

impl From<TooManySessions> for CountersError {
    fn from(TooManySessions { limit }: TooManySessions) -> Self {
        Self::TooManySessions { limit }
    }
}

impl From<KeyspaceError> for CountersError {
    fn from(error: KeyspaceError) -> Self {
        match error {
            KeyspaceError::NameTooLong(error) => error.into(),
            KeyspaceError::Stopped => Self::Stopped,
            KeyspaceError::NeedsOneOwner { command } => Self::NeedsOneOwner { command },
            _ => Self::UnknownOutcome("a shard did not answer"),
        }
    }
}

impl From<SessionError> for CountersError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Keyspace(
                error @ (KeyspaceError::NameTooLong(_) | KeyspaceError::NeedsOneOwner { .. }),
            ) => error.into(),
            SessionError::Expired => Self::SessionExpired,
            SessionError::Superseded => Self::Superseded,
            SessionError::OtherRequest => Self::OtherRequest,
            _ => Self::UnknownOutcome("a shard did not answer"),
        }
    }
}

impl From<DurabilityError> for CountersError {
    fn from(error: DurabilityError) -> Self {
        match error {
            DurabilityError::UnknownOutcome => Self::UnknownOutcome("the disk failed"),
            DurabilityError::DiskFailed => Self::DiskFailed,
            DurabilityError::Keyspace(error) => error.into(),
            DurabilityError::Session(error) => error.into(),
            _ => Self::UnknownOutcome("the store has stopped"),
        }
    }
}

impl From<AcknowledgeError> for CountersError {
    fn from(error: AcknowledgeError) -> Self {
        match error {
            AcknowledgeError::NoStore => Self::NotDurable,
            AcknowledgeError::Alarm(alarm) => Self::Alarm(alarm),
            AcknowledgeError::TooFewPeers { wanted, connected } => Self::TooFewPeers { wanted, connected },
            AcknowledgeError::OtherNode { node } => Self::OtherNode { node: node.to_string() },
            AcknowledgeError::TooManySessions(error) => error.into(),
            AcknowledgeError::Keyspace(error) => error.into(),
            AcknowledgeError::Session(error) => error.into(),
            AcknowledgeError::Store(error) => error.into(),
            _ => Self::UnknownOutcome("too few other nodes have confirmed it in time"),
        }
    }
}

impl From<ProducerError> for CountersError {
    fn from(error: ProducerError) -> Self {
        match error {
            ProducerError::Name(error) => error.into(),
            ProducerError::Full => Self::LogFull,
            ProducerError::Refused(reason) => Self::LogRefuses(reason),
            _ => Self::Stopped,
        }
    }
}

impl From<ReadError> for CountersError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Forked { id, fork } => {
                Self::PartitionStopped(format!("partition {} has stopped: {fork}", id.partition))
            }
            _ => Self::Stopped,
        }
    }
}

impl From<StreamError> for CountersError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Forked { id, fork } => ReadError::Forked { id, fork }.into(),
            _ => Self::Stopped,
        }
    }
}
