use counter_cluster::{ClusterStatus, PeerStatus, Total};
use ractor_transport::NodeName;
use serde::{Deserialize, Serialize};

/// Status of a cluster, as seen by one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Number of names.
    pub names: u64,
    /// Sum of what all nodes have counted.
    pub total: Total,
    /// Sum of what each replica has counted, by `NODE#INCARNATION`.
    pub replicas: Vec<(String, Total)>,
    /// Other nodes.
    pub peers: Vec<Peer>,
    /// Nodes that did not answer when all were asked.
    pub unanswered: Vec<NodeName>,
    /// Replicas as which two lives have counted, and the number of entries by which that was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forks: Vec<(String, u64)>,
    /// Why the node acknowledges nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
}

/// Status of another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Name of the node.
    pub node: NodeName,
    /// True while it is connected.
    pub is_up: bool,
    /// Time since its last message, in milliseconds.
    pub heard_ms: u64,
    /// Number of entries that it lacks.
    pub lag: u64,
}

impl From<PeerStatus> for Peer {
    fn from(PeerStatus { node, is_up, last_heard_from, lag, .. }: PeerStatus) -> Self {
        let heard_ms = u64::try_from(last_heard_from.as_millis()).unwrap_or(u64::MAX);
        Self { node, is_up, heard_ms, lag: lag as u64 }
    }
}

impl Report {
    /// Creates a report from a node's view of the cluster and the nodes that did not answer.
    #[must_use]
    pub fn new(status: ClusterStatus, unanswered: Vec<NodeName>) -> Self {
        let total = status.total();
        let ClusterStatus { names, replicas, peers, forks, alarm, .. } = status;
        let replicas = replicas.into_iter().map(|(id, totals)| (id.to_string(), totals.total));
        let peers = peers.into_iter().map(Peer::from);
        let forks = forks.into_iter().map(|(id, forks)| (id.to_string(), forks)).collect();
        let alarm = alarm.map(|alarm| alarm.to_string());
        let (replicas, peers) = (replicas.collect(), peers.collect());
        Self { names, total, replicas, peers, unanswered, forks, alarm }
    }

    /// Returns true if the node is connected to `node`.
    #[must_use]
    pub fn sees(&self, node: &NodeName) -> bool {
        self.peers.iter().any(|peer| peer.is_up && peer.node == *node)
    }
}
