//! Strangers who try a whole node: they are refused, its memory stays as it is, and it counts on.

use std::net::SocketAddr;
use std::path::PathBuf;

use counter_chaos::{Client, Cluster, Driver, Launch, NodeProcess, Plan, Sent};
use counter_cluster::MAX_FRAME_BYTES;
use fastrand::Rng;
use ractor_transport::{Cookie, certificates};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::setup::{NEVER, cluster, plan, shared};

/// Maximum growth of a node's memory.
const MEMORY: u64 = 64 * 1024 * 1024;

const IDLE_SOCKETS: usize = 300;

/// A cluster of two under load, whose first node is attacked.
struct Attacked {
    cluster: Cluster,
    resident: u64,
    stop: watch::Sender<bool>,
    loads: Vec<JoinHandle<Vec<Sent>>>,
}

impl Attacked {
    async fn start(tls: bool) -> Self {
        let cluster = cluster(2, tls).await;
        let (stop, stopped) = watch::channel(false);
        let loads =
            (0..2).map(|node| load(cluster.client(node).expect("it runs"), stopped.clone(), node as u64));
        let loads = loads.collect();
        let resident = cluster.node(0).expect("it runs").resident_bytes().expect("Linux tells");
        Self { cluster, resident, stop, loads }
    }

    fn address(&self) -> SocketAddr {
        self.cluster.node(0).expect("it runs").address()
    }

    fn memory_is_bounded(&self, attack: &str) {
        let now = self.cluster.node(0).expect("it runs").resident_bytes().expect("Linux tells");
        let more = now.saturating_sub(self.resident);
        println!("{attack}: {} KiB more than at the beginning", more / 1024);
        assert!(more <= MEMORY, "{attack}: {more} bytes more");
    }

    /// Sends bytes, which are answered by nothing but a closed connection.
    async fn is_closed(&self, attack: &str, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.address()).await.expect("it listens");
        // It may close the connection before it has read everything.
        let _ = stream.write_all(bytes).await;
        closed(stream).await;
        self.memory_is_bounded(attack);
    }

    /// Starts a node that dials the attacked one, and is refused and learns nothing.
    async fn refuses(&self, attack: &str, cookie: PathBuf, tls: Option<PathBuf>) {
        let name = "stranger".parse().expect("it is a name");
        let log = self.cluster.directory().join(format!("{attack}.log"));
        let launch =
            Launch { cookie, tls, name, peers: vec![self.address()], log, ..self.cluster.launch(0).clone() };
        let stranger = NodeProcess::start(&launch).await.expect("it starts");
        stranger.client().add("from the stranger", 1).await.expect("it counts for itself");
        stranger.logs("still not connected", NEVER).await.expect("it is refused again and again");
        let knows = stranger.client().report().await.expect("it runs");
        assert_eq!((knows.operations, knows.nodes), (1, vec![]), "{attack}");
        self.memory_is_bounded(attack);
    }

    /// Opens silent sockets, more than the node accepts.
    async fn idle_sockets(&self) {
        let mut idle = JoinSet::new();
        for _ in 0..IDLE_SOCKETS {
            let stream = TcpStream::connect(self.address()).await.expect("it listens");
            idle.spawn(closed(stream));
        }
        self.memory_is_bounded("idle sockets");
        idle.join_all().await;
        self.memory_is_bounded("idle sockets, later");
    }

    /// Checks that the cluster is exact and that no connection between its nodes was lost.
    async fn counts_on(self) {
        self.stop.send_replace(true);
        let mut sent = Vec::new();
        for load in self.loads {
            sent.extend(load.await.expect("senders do not panic"));
        }
        self.cluster.wait_until_converged(NEVER).await.expect("they agree");
        self.cluster.compare(&sent, &[]).await.expect("it is exact");
        for report in self.cluster.reports().await.expect("they run").values() {
            let peers: Vec<_> = report.nodes.iter().map(|peer| (peer.name.as_str(), peer.is_up)).collect();
            assert!(matches!(peers[..], [("a" | "b", true)]), "{peers:?}");
        }
        for node in 0..2 {
            let log = self.cluster.node(node).expect("it runs").log().expect("there is a log");
            assert!(log.contains("a node is there") && !log.contains("a node is gone"), "{log}");
        }
    }
}

/// Sends one small load after another until told to stop.
fn load(node: Client, stopped: watch::Receiver<bool>, seed: u64) -> JoinHandle<Vec<Sent>> {
    tokio::spawn(async move {
        let mut sent = Vec::new();
        while !*stopped.borrow() {
            let part =
                Plan { at_once: 20, per_second: Some(2_000), ..plan(200, 2 * sent.len() as u64 + seed) };
            sent.push(Driver::new(part).run(&node).await);
        }
        sent
    })
}

/// Reads until the other end closes the connection, in whatever manner.
async fn closed(mut stream: TcpStream) {
    let mut said = Vec::new();
    let _ = timeout(NEVER, stream.read_to_end(&mut said)).await.expect("it is closed");
    // The node's name, before it knows to whom.
    assert!(said.len() < 1000, "{said:?}");
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(1..)).take(len).collect()
}

fn other_cookie(attacked: &Attacked) -> PathBuf {
    let file = attacked.cluster.directory().join("other-cookie");
    Cookie::generate().write_new(&file).expect("there is room");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_by_nodes_with_tls() {
    let _machine = shared().await;
    let attacked = Attacked::start(true).await;
    let (directory, cookie) =
        (attacked.cluster.directory().to_owned(), attacked.cluster.launch(0).cookie.clone());
    let stranger = ["stranger".parse().unwrap()];

    attacked.is_closed("plaintext", b"GET / HTTP/1.1\r\nHost: counter\r\n\r\n").await;
    attacked.is_closed("noise", &noise(64 * 1024)).await;
    certificates(directory.join("certificates"), &stranger).unwrap();
    let ours = directory.join("certificates/stranger");
    attacked.refuses("a wrong cookie", other_cookie(&attacked), Some(ours)).await;
    certificates(directory.join("foreign"), &stranger).unwrap();
    attacked.refuses("a foreign authority", cookie.clone(), Some(directory.join("foreign/stranger"))).await;
    attacked.refuses("a node without TLS", cookie, None).await;
    attacked.idle_sockets().await;
    attacked.counts_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_by_nodes_without_tls() {
    let _machine = shared().await;
    let attacked = Attacked::start(false).await;

    attacked.is_closed("another protocol", b"GET / HTTP/1.1\r\nHost: counter\r\n\r\n").await;
    attacked.is_closed("noise", &noise(64 * 1024)).await;
    attacked.is_closed("a frame of the greatest length", &u64::MAX.to_be_bytes()).await;
    attacked.is_closed("a frame that is too long", &(MAX_FRAME_BYTES as u64 + 1).to_be_bytes()).await;
    let frame = [&(64 * 1024_u64).to_be_bytes()[..], &noise(64 * 1024)].concat();
    attacked.is_closed("a frame of noise", &frame).await;
    let mut endless = JoinSet::new();
    for _ in 0..20 {
        let frame = [&(MAX_FRAME_BYTES as u64).to_be_bytes()[..], &noise(MAX_FRAME_BYTES - 1)].concat();
        let mut stream = TcpStream::connect(attacked.address()).await.unwrap();
        endless.spawn(async move {
            let _ = timeout(NEVER, stream.write_all(&frame)).await.expect("it is closed");
            closed(stream).await;
        });
    }
    endless.join_all().await;
    attacked.memory_is_bounded("frames without end");
    attacked.refuses("a wrong cookie", other_cookie(&attacked), None).await;
    attacked.idle_sockets().await;
    attacked.counts_on().await;
}
