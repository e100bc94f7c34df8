use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The longest name of a node, in bytes.
pub const MAX_NODE_NAME_BYTES: usize = 64;

/// What a node is called. No two live nodes of a cluster may have the same name.
///
/// ```
/// use counter_cluster::NodeName;
///
/// assert!("eu-1.example.org".parse::<NodeName>().is_ok());
/// assert!("no spaces".parse::<NodeName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(String);

/// It is not a node's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_NODE_NAME_BYTES} letters, digits, dots, dashes or underscores")]
pub struct BadNodeName;

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = BadNodeName;

    fn try_from(name: String) -> Result<Self, BadNodeName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let fits = (1..=MAX_NODE_NAME_BYTES).contains(&name.len());
        if fits && name.bytes().all(allowed) { Ok(Self(name)) } else { Err(BadNodeName) }
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(name: &str) -> Result<Self, BadNodeName> {
        name.to_owned().try_into()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One incarnation of a node. Only it ever changes the entries that are counted under its name, so a node that starts
/// again with nothing is a new replica, and what others hold of the old one stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId {
    /// The node.
    pub node: NodeName,
    /// Distinguishes its incarnations: the second of its start, and random bits.
    pub incarnation: u64,
}

impl ReplicaId {
    /// A replica that is new, even if the clock stands or was set back: seconds since 1970 in the upper half, and 32
    /// random bits in the lower one.
    pub(crate) fn new(node: NodeName, now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Its keys come from the operating system.
        let random = RandomState::new().hash_one(()) >> 32;
        Self { node, incarnation: seconds << 32 | random }
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
        let start = |now| ReplicaId::new("a".parse().unwrap(), now);
        for now in [SystemTime::now(), UNIX_EPOCH, UNIX_EPOCH - Duration::from_secs(9)] {
            let [a, b, c] = [start(now), start(now), start(now)];
            // Two may be equal, once in 2^32 times.
            assert!(a != b || b != c);
        }
        let later = UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(start(later).incarnation >> 32, 7);
    }
}
