use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum length of a node's name, in bytes.
pub const MAX_NODE_NAME_BYTES: usize = 64;

/// Name of a node, unique among the live nodes of a cluster.
///
/// ```
/// use ractor_transport::NodeName;
///
/// assert!("eu-1.example.org".parse::<NodeName>().is_ok());
/// assert!("no spaces".parse::<NodeName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(String);

/// Error of parsing a [`NodeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("expected 1 to {MAX_NODE_NAME_BYTES} letters, digits, dots, dashes or underscores")]
pub struct BadNodeName;

impl NodeName {
    /// Returns the name as text.
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
