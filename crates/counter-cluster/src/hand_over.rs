use counter_store::DurabilityError;
use ractor_transport::{NodeName, Seed};

/// Error of [`Node::shutdown`](crate::Node::shutdown): counts of the node may be nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// Peers are absent or have not taken everything in time.
    #[error("not everything that was counted here has reached {}", list(nodes, never_connected))]
    Lacking {
        /// Nodes that are or were connected.
        nodes: Vec<NodeName>,
        /// Configured peers, as `host:port`, that were never connected.
        never_connected: Vec<String>,
    },
    /// The last round of the node's store has failed: what was counted here since the one before may be nowhere.
    #[error("store's last round has failed: {0}")]
    Store(DurabilityError),
    /// The keyspace or its replication has stopped.
    #[error("node has stopped")]
    Stopped,
}

/// Checks that all nodes have everything: the configured ones, and those that are or were connected, each with true if
/// it has.
pub(crate) fn complete(
    me: &NodeName,
    ever_connected: &[(NodeName, bool)],
    seeds: impl IntoIterator<Item = Seed>,
) -> Result<(), HandOverError> {
    let is_known = |node: &NodeName| node == me || ever_connected.iter().any(|(name, _)| name == node);
    let never_connected = seeds.into_iter().filter(|seed| !seed.node.as_ref().is_some_and(is_known));
    let never_connected: Vec<_> = never_connected.map(|seed| seed.address).collect();
    let lacking = ever_connected.iter().filter(|(_, has_everything)| !has_everything);
    let nodes: Vec<_> = lacking.map(|(node, _)| node.clone()).collect();
    if nodes.is_empty() && never_connected.is_empty() {
        return Ok(());
    }
    Err(HandOverError::Lacking { nodes, never_connected })
}

fn list(nodes: &[NodeName], never_connected: &[String]) -> String {
    let nodes = nodes.iter().map(ToString::to_string);
    let addresses = never_connected.iter().map(|address| format!("{address} (never connected)"));
    nodes.chain(addresses).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn seed(address: &str, node: Option<&str>) -> Seed {
        Seed { address: address.to_owned(), node: node.map(name) }
    }

    #[test]
    fn with_all_peers_complete_or_without_any_nothing_is_lacking() {
        let me = name("a");
        assert_eq!(complete(&me, &[], []), Ok(()));
        let seeds = [seed("b:1", Some("b")), seed("a:1", Some("a"))];
        assert_eq!(complete(&me, &[(name("b"), true), (name("c"), true)], seeds), Ok(()));
    }

    #[test]
    fn peers_that_lack_something_and_seeds_that_were_never_peers_are_named() {
        let known = [(name("b"), true), (name("c"), false)];
        // Whoever answers at d's address has never proved to be a peer.
        let seeds =
            [seed("b:1", Some("b")), seed("c:1", Some("c")), seed("d:1", Some("d")), seed("e:1", None)];
        let error = complete(&name("a"), &known, seeds).unwrap_err();
        let line = "not everything that was counted here has reached c, d:1 (never connected), e:1 (never connected)";
        assert_eq!(error.to_string(), line);
    }
}
