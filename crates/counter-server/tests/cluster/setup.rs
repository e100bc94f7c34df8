//! Clusters and loads for all these tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use counter_chaos::{Client, Cluster, ClusterOptions, Driver, Launch, NodeProcess, Plan, Sent};
use ractor_transport::Cookie;
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

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
    let program = PathBuf::from(env!("CARGO_BIN_EXE_counter-server"));
    Cluster::start(ClusterOptions { program, nodes, tls, durability: None }).await.expect("nodes start")
}

/// Nodes that are connected, keep what they count, and acknowledge at this level.
pub(crate) async fn durable_cluster(nodes: usize, durability: &str) -> Cluster {
    let (program, tls) = (PathBuf::from(env!("CARGO_BIN_EXE_counter-server")), false);
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

/// Files that single nodes of a test share.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("there is room"));
        Cookie::generate().write_new(files.path("cookie")).expect("there is room");
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts a node in memory.
    pub(crate) async fn start(&self, name: &str, peers: &[SocketAddr]) -> NodeProcess {
        NodeProcess::start(&self.launch(name, peers)).await.expect("it starts")
    }

    /// Returns the launch of such a node.
    pub(crate) fn launch(&self, name: &str, peers: &[SocketAddr]) -> Launch {
        Launch {
            program: env!("CARGO_BIN_EXE_counter-server").into(),
            name: name.parse().expect("a valid name"),
            cookie: self.path("cookie"),
            tls: None,
            peers: peers.to_vec(),
            log: self.path(&format!("{name}.log")),
            arguments: vec!["--memory".into()],
        }
    }
}

/// Waits until a node holds this number of operations of a counter.
pub(crate) async fn until_held(node: &NodeProcess, name: &str, operations: u128) {
    let begun = Instant::now();
    loop {
        let total = node.client().value(name).await.expect("it answers");
        if total.operations == operations {
            return;
        }
        assert!(begun.elapsed() < NEVER, "{name}: {total:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a node is connected to these others, and to no more.
pub(crate) async fn until_connected(node: &NodeProcess, others: &[&str]) {
    let begun = Instant::now();
    loop {
        let report = node.client().report().await.expect("it answers");
        if report.connected().eq(others.iter().copied()) {
            return;
        }
        assert!(begun.elapsed() < NEVER, "{:?} instead of {others:?}", report.nodes);
        sleep(Duration::from_millis(5)).await;
    }
}
