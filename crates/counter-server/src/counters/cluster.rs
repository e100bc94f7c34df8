//! Counters that other nodes have copies of.

use std::time::Duration;

use counter_cluster::{ClusterStatus, Durability, Node, ReplicaId};
use tokio::time::{Instant, sleep_until};

use super::error::CountersError;
use super::node::{NodeCounters, NodeSessions};
use super::reading::Counted;
use super::{Counters, Handle, Kind};

/// Error of an operation of this name that is refused.
pub(crate) type Refusal = fn(&'static str) -> CountersError;

impl Counters {
    /// Creates the counters of a node of a cluster. The node ends by itself, not with them.
    #[must_use]
    pub fn of_node(node: &Node, default_durability: Durability, max_sessions: usize) -> Self {
        let kind = Kind::Node(Box::new(NodeSessions::new(node, max_sessions)));
        Self::new(Handle::Node(NodeCounters(node.handle())), kind, default_durability)
    }

    /// Waits until `nodes` other nodes have received everything that was sent through this clone before, or until a
    /// time. Returns the number of those that have.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn received_until(&self, nodes: usize, end: Instant) -> Result<usize, CountersError> {
        match self.cluster() {
            Some(node) => node.received_until(nodes, end).await,
            None => Ok(wait_for_nobody(nodes, end).await),
        }
    }

    /// Waits until `nodes` other nodes have committed everything that was sent through this clone before, or until a
    /// time. Returns the number of those that have.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn committed_until(&self, nodes: usize, end: Instant) -> Result<usize, CountersError> {
        match self.cluster() {
            Some(node) => node.committed_until(nodes, end).await,
            None => Ok(wait_for_nobody(nodes, end).await),
        }
    }

    /// Returns the status of the cluster, if there is one.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn cluster_status(&self) -> Result<Option<ClusterStatus>, CountersError> {
        Ok(match self.cluster() {
            Some(node) => Some(node.status().await?),
            None => None,
        })
    }

    /// Returns the incarnation of the node as which this server counts, if it is one of a cluster.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaId> {
        self.cluster().and_then(NodeCounters::replica)
    }

    /// Asks all nodes for their counts, of one name or in all, so that answers after this are as fresh as this call.
    ///
    /// # Errors
    /// [`CountersError::Unanswered`] if a node that was ever connected does not answer within the deadline.
    pub async fn refresh(&self, name: Option<&[u8]>, deadline: Duration) -> Result<(), CountersError> {
        match self.cluster() {
            Some(node) => node.refresh(name, deadline).await,
            None => Ok(()),
        }
    }

    /// Returns how operations that need one owner are refused: if other nodes have copies of the counters, or they
    /// follow a topic.
    pub(crate) fn one_owner_refusal(&self) -> Option<Refusal> {
        match self.counted() {
            Counted::Here(_) => None,
            Counted::Cluster(_) => Some(|command| CountersError::NeedsOneOwner { command }),
            Counted::Topic(_) => Some(|command| CountersError::NotOnTopic { command }),
        }
    }

    /// Returns the node, if it replicates.
    pub(super) fn cluster(&self) -> Option<&NodeCounters> {
        match self.counted() {
            Counted::Cluster(node) => Some(node),
            Counted::Here(_) | Counted::Topic(_) => None,
        }
    }
}

/// Waits for other nodes where there are none: only the time can end it.
async fn wait_for_nobody(nodes: usize, end: Instant) -> usize {
    if nodes > 0 {
        sleep_until(end).await;
    }
    0
}
