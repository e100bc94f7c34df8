use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use counter_store::ReplicaKey;
use mutations::Mutation;
use ractor_transport::{BadNodeName, NodeName};
use serde::{Deserialize, Serialize};

/// One incarnation of a node.
///
/// Only it ever changes the entries that are counted under its name. A node that starts again with nothing is a new
/// replica, and the entries of the old one stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId {
    /// Name of the node.
    pub node: NodeName,
    /// Number of the incarnation: the second of its start, and random bits.
    pub incarnation: u64,
}

impl ReplicaId {
    /// Makes an identifier that is new even if the clock stands or was set back.
    ///
    /// It has the seconds since 1970 in the upper half, and `lower` or 32 random bits in the lower one.
    pub(crate) fn new(node: NodeName, now: SystemTime, lower: Option<u32>) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Its keys come from the operating system.
        let lower = lower.map_or_else(|| RandomState::new().hash_one(()) >> 32, u64::from);
        if Mutation::ReuseIncarnation.is_planted() {
            return Self { node, incarnation: 1 };
        }
        Self { node, incarnation: seconds << 32 | lower }
    }
}

impl From<&ReplicaId> for ReplicaKey {
    fn from(ReplicaId { node, incarnation }: &ReplicaId) -> Self {
        Self { node: node.as_str().into(), incarnation: *incarnation }
    }
}

impl TryFrom<&ReplicaKey> for ReplicaId {
    type Error = BadNodeName;

    fn try_from(ReplicaKey { node, incarnation }: &ReplicaKey) -> Result<Self, BadNodeName> {
        Ok(Self { node: node.parse()?, incarnation: *incarnation })
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn starts_at_the_same_time_are_different_incarnations() {
        let start = |now| ReplicaId::new("a".parse().unwrap(), now, None);
        for now in [SystemTime::now(), UNIX_EPOCH, UNIX_EPOCH - Duration::from_secs(9)] {
            let [a, b, c] = [start(now), start(now), start(now)];
            // Two may be equal, once in 2^32 times.
            assert!(a != b || b != c);
        }
        let later = UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(start(later).incarnation >> 32, 7);
    }
}
