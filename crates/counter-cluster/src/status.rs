use std::time::Duration;

use ractor_transport::NodeName;

use crate::alarm::Alarm;
use crate::ledger::{Total, Totals};
use crate::replica::ReplicaId;

/// Value of a counter in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// Sum of the counts of this node and, as far as they are known here, of all others.
    pub total: Total,
    /// Status of the other nodes, which bounds the age of their counts.
    pub peers: Vec<PeerStatus>,
}

/// Status of the cluster, as far as it is known to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// Number of names.
    pub names: u64,
    /// Sums of each replica.
    pub replicas: Vec<(ReplicaId, Totals)>,
    /// Status of the other nodes.
    pub peers: Vec<PeerStatus>,
    /// Number of entries of further replicas that were refused, because there are [`MAX_REPLICAS`](crate::MAX_REPLICAS)
    /// already.
    pub refused: u64,
    /// Replicas that have forked, and the number of entries by which that was seen: two lives have counted as one
    /// replica. The greater value counts.
    pub forks: Vec<(ReplicaId, u64)>,
    /// Why the node acknowledges nothing any more, if so.
    pub alarm: Option<Alarm>,
}

impl ClusterStatus {
    /// Returns the sum over all replicas.
    #[must_use]
    pub fn total(&self) -> Total {
        let sum = |sum: Total, (_, totals): &(ReplicaId, Totals)| Total {
            value: sum.value + totals.total.value,
            operations: sum.operations + totals.total.operations,
        };
        self.replicas.iter().fold(Total::default(), sum)
    }
}

/// Status of another node that is or was connected to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Name of the node.
    pub node: NodeName,
    /// Its latest incarnation.
    pub replica: ReplicaId,
    /// True while it is connected.
    pub is_up: bool,
    /// Time since it was last heard from. Its counts since then may be missing here.
    pub last_heard_from: Duration,
    /// Number of entries that it has yet to acknowledge.
    pub lag: usize,
}
