//! The cluster, as far as it is known to the server.

use std::sync::Arc;

use axum::Extension;
use axum::response::Response;
use counter_cluster::{ClusterStatus, ReplicaId, Total};
use serde::Serialize;

use super::connection::Connection;
use super::counter::json;
use super::problem::Problem;
use super::query::Query;
use crate::status::NodeStatus;

/// Cluster as JSON.
#[derive(Clone, Debug, Serialize)]
struct ClusterBody {
    /// Incarnation of this node.
    replica: String,
    /// Number of counters.
    counters: u64,
    /// Sum of what all nodes have counted.
    #[serde(flatten)]
    total: Total,
    nodes: Vec<NodeStatus>,
    replicas: Vec<ReplicaBody>,
    /// Entries that were refused because there are too many incarnations.
    refused: u64,
    /// Why the server acknowledges nothing any more.
    alarm: Option<String>,
}

/// Incarnation of a node as JSON.
#[derive(Clone, Debug, Serialize)]
struct ReplicaBody {
    replica: String,
    #[serde(flatten)]
    total: Total,
    /// Entries by which was seen that two processes have counted as this one.
    forks: u64,
}

/// Returns what is known of the cluster.
pub(crate) async fn cluster(
    Extension(connection): Extension<Arc<Connection>>,
    query: Query,
) -> Result<Response, Problem> {
    query.check(&["fresh_ms"])?;
    let (fresh, counters) = (query.fresh()?, connection.counters()?);
    if let Some(deadline) = fresh {
        counters.refresh(None, deadline).await?;
    }
    let (replica, status) = (counters.replica(), counters.cluster_status().await?);
    let (replica, status) = replica.zip(status).ok_or_else(Problem::no_cluster)?;
    Ok(json(&ClusterBody::new(&replica, status)))
}

impl ClusterBody {
    fn new(replica: &ReplicaId, status: ClusterStatus) -> Self {
        let forks =
            |id: &ReplicaId| status.forks.iter().find(|(fork, _)| fork == id).map_or(0, |(_, forks)| *forks);
        let replicas = status.replicas.iter().map(|(id, totals)| ReplicaBody {
            replica: id.to_string(),
            total: totals.total,
            forks: forks(id),
        });
        Self {
            replica: replica.to_string(),
            counters: status.names,
            total: status.total(),
            replicas: replicas.collect(),
            refused: status.refused,
            alarm: status.alarm.map(|alarm| alarm.to_string()),
            nodes: status.peers.into_iter().map(NodeStatus::from).collect(),
        }
    }
}
