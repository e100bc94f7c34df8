use std::fmt;
use std::str::FromStr;

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
    /// When it started, in microseconds since 1970: what tells its incarnations apart.
    pub incarnation: u64,
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation)
    }
}
