use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use counter_keyspace::{KeyspaceError, Outcome, SessionError};
use counter_store::{DurabilityError, TooManySessions};
use ractor_transport::NodeName;

use crate::alarm::Alarm;
use crate::ledger::Total;

/// Guarantee of a node's acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The operation is on its way to its shard.
    #[default]
    Memory,
    /// The operation is on this node's disk.
    Fsync,
    /// Besides, this number of other nodes hold it: on their disks, as far as they have stores.
    Replicated(NonZeroUsize),
}

/// Error of a text that is no level of durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected memory, fsync or replicated=N, with N from 1 on")]
pub struct InvalidDurability;

impl FromStr for Durability {
    type Err = InvalidDurability;

    fn from_str(text: &str) -> Result<Self, InvalidDurability> {
        match (text, text.strip_prefix("replicated=")) {
            ("memory", _) => Ok(Self::Memory),
            ("fsync", _) => Ok(Self::Fsync),
            (_, Some(nodes)) => nodes.parse().map(Self::Replicated).map_err(|_| InvalidDurability),
            _ => Err(InvalidDurability),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Fsync => f.write_str("fsync"),
            Self::Replicated(nodes) => write!(f, "replicated={nodes}"),
        }
    }
}

/// Outcome of an operation, in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Outcome on this node, for its own count of the name alone.
    pub outcome: Outcome,
    /// Counts of other nodes of this name that have arrived.
    pub others: Total,
}

/// Error of an operation that waits for its durability on a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcknowledgeError {
    /// The node has no store. Nothing has been applied.
    #[error("node has no store; start it with a data directory")]
    NoStore,
    /// The node acknowledges nothing any more. Nothing has been applied, or the outcome is unknown.
    #[error(transparent)]
    Alarm(Alarm),
    /// Too few other nodes are connected. Nothing has been applied.
    #[error("{wanted} other nodes are to hold it, and {connected} are connected")]
    TooFewPeers {
        /// Number of nodes that are to hold it.
        wanted: usize,
        /// Number of nodes that are connected.
        connected: usize,
    },
    /// Too few other nodes have confirmed in time. The operation is on this node, and on others or not.
    #[error("unknown outcome: {wanted} other nodes are to hold it, and {copies} have confirmed in time")]
    TooFewCopies {
        /// Number of nodes that are to hold it.
        wanted: usize,
        /// Number of nodes that hold it.
        copies: usize,
    },
    /// The session belongs to another node.
    #[error("session belongs to node {node}; use it there")]
    OtherNode {
        /// Name of the node.
        node: NodeName,
    },
    /// The client may not open another session.
    #[error(transparent)]
    TooManySessions(#[from] TooManySessions),
    /// The keyspace has not applied the operation.
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    /// The session does not allow the request.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The store has not made it durable.
    #[error(transparent)]
    Store(#[from] DurabilityError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_durability_is_a_word_or_a_number_of_nodes() {
        let two = Durability::Replicated(2.try_into().unwrap());
        for (text, level) in
            [("memory", Durability::Memory), ("fsync", Durability::Fsync), ("replicated=2", two)]
        {
            assert_eq!((text.parse(), level.to_string()), (Ok(level), text.to_owned()));
        }
        for wrong in ["", "replicated", "replicated=0", "replicated=two", "fsync=1"] {
            assert_eq!(wrong.parse::<Durability>(), Err(InvalidDurability), "{wrong}");
        }
    }
}
