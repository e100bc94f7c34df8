use counter_cluster::Total;
use ractor_transport::NodeName;
use serde::Deserialize;

/// Cluster as a node sees it: the answer to `GET /v1/cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// Incarnation of the node, as `NODE#INCARNATION`.
    pub replica: String,
    /// Number of counters.
    pub counters: u64,
    /// Sum of the values that all nodes have counted.
    pub value: i128,
    /// Number of operations that all nodes have counted.
    pub operations: u128,
    /// Other nodes.
    pub nodes: Vec<Peer>,
    /// Incarnations of nodes that have counted.
    pub replicas: Vec<Replica>,
    /// Why the node acknowledges nothing any more.
    pub alarm: Option<String>,
}

/// Other node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// Name of the node.
    pub name: NodeName,
    /// True while it is connected.
    pub is_up: bool,
}

/// Incarnation of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Replica {
    /// `NODE#INCARNATION`.
    pub replica: String,
    /// Sum of the values that it has counted.
    pub value: i128,
    /// Number of operations that it has counted.
    pub operations: u128,
    /// Number of entries by which was seen that two processes have counted as this one.
    pub forks: u64,
}

impl Report {
    /// Returns true if the node is connected to `node`.
    #[must_use]
    pub fn sees(&self, node: &NodeName) -> bool {
        self.nodes.iter().any(|peer| peer.is_up && peer.name == *node)
    }

    /// Returns the names of the nodes that it is connected to.
    pub fn connected(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|peer| peer.is_up).map(|peer| peer.name.as_str())
    }

    /// Returns the number of operations that a replica has counted.
    #[must_use]
    pub fn operations_of(&self, replica: &str) -> u128 {
        self.replicas.iter().filter(|of| of.replica == replica).map(|of| of.operations).sum()
    }

    /// Returns true if two processes were seen to count as one incarnation.
    #[must_use]
    pub fn has_forks(&self) -> bool {
        self.replicas.iter().any(|replica| replica.forks > 0)
    }
}

impl Replica {
    /// Returns the sum of what it has counted.
    #[must_use]
    pub const fn total(&self) -> Total {
        Total { value: self.value, operations: self.operations }
    }
}
