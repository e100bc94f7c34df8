//! Clusters and loads for all these tests.

use std::path::PathBuf;
use std::time::Duration;

use counter_chaos::{Client, Cluster, ClusterOptions, Driver, Plan, Sent};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;

/// Deadline of everything that is expected to happen.
pub(crate) const NEVER: Duration = Duration::from_secs(30);

/// Tests of one process that look at the clock have the machine to themselves; the others share it.
static MACHINE: RwLock<()> = RwLock::const_new(());

pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

pub(crate) async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Nodes that are connected.
pub(crate) async fn cluster(nodes: usize, tls: bool) -> Cluster {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_counter-node"));
    Cluster::start(ClusterOptions { program, nodes, tls, durability: None }).await.expect("nodes start")
}

/// Nodes that are connected, keep what they count, and acknowledge at this level.
pub(crate) async fn durable_cluster(nodes: usize, durability: &str) -> Cluster {
    let (program, tls) = (PathBuf::from(env!("CARGO_BIN_EXE_counter-node")), false);
    let durability = Some(durability.to_owned());
    Cluster::start(ClusterOptions { program, nodes, tls, durability }).await.expect("nodes start")
}

/// Operations for one node, as fast as it takes them.
pub(crate) const fn plan(operations: u64, seed: u64) -> Plan {
    Plan { operations, names: 200, seed, at_once: 500, per_second: None }
}

/// Sends all of it to a node, beside whatever else happens.
pub(crate) fn send(node: Client, plan: Plan) -> JoinHandle<Sent> {
    tokio::spawn(async move { Driver::new(plan).run(&node).await })
}

/// Waits until all is sent.
pub(crate) async fn sent(sending: impl IntoIterator<Item = JoinHandle<Sent>>) -> Vec<Sent> {
    let mut sent = Vec::new();
    for sending in sending {
        sent.push(sending.await.expect("senders do not panic"));
    }
    sent
}
