//! Three servers that are a cluster.

use std::path::{Path, PathBuf};

use ractor_transport::Cookie;
use tcp_proxy::TcpProxy;
use tempfile::TempDir;

use crate::clients::Connection;
use crate::server::Process;

/// Three nodes, each behind a proxy.
struct Cluster {
    dir: TempDir,
    durability: &'static str,
    proxies: [TcpProxy; 3],
    processes: [Option<Process>; 3],
}

impl Cluster {
    /// Starts all nodes.
    async fn start(durability: &'static str) -> Self {
        let mut cluster = Self::new(durability).await;
        (0..3).for_each(|node| cluster.start_node(node));
        cluster
    }

    async fn new(durability: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("there is room");
        Cookie::generate().write_new(dir.path().join("cookie")).expect("there is room");
        let [a, b, c] = [TcpProxy::start().await, TcpProxy::start().await, TcpProxy::start().await];
        let proxies = [a, b, c].map(|proxy| proxy.expect("ports are free"));
        Self { dir, durability, proxies, processes: [const { None }; 3] }
    }

    fn data(&self, node: usize) -> PathBuf {
        self.dir.path().join(node.to_string())
    }

    fn start_node(&mut self, node: usize) {
        let cookie = self.dir.path().join("cookie").display().to_string();
        let mut arguments = vec!["--durability".to_owned(), self.durability.to_owned()];
        arguments.extend(["--name".into(), format!("n{node}"), "--cookie-file".into(), cookie]);
        arguments.extend(["--listen".into(), "127.0.0.1:0".into()]);
        for (_, other) in self.proxies.iter().enumerate().filter(|(other, _)| *other != node) {
            arguments.extend(["--peer".into(), other.address().to_string()]);
        }
        let process = Process::start_with(&self.data(node), |command| _ = command.args(arguments));
        self.proxies[node].set_target(process.node.expect("it is a node"));
        self.processes[node] = Some(process);
    }

    fn kill(&mut self, node: usize) {
        self.processes[node].take().expect("it runs").kill();
    }

    fn process(&mut self, node: usize) -> Process {
        self.processes[node].take().expect("it runs")
    }

    async fn connect(&self, node: usize) -> Connection {
        let process = self.processes[node].as_ref().expect("it runs");
        Connection::connect(process.resp).await.expect("the server answers")
    }

    /// Sends requests to a node, and returns the texts of its replies.
    async fn ask(&self, node: usize, requests: &str, replies: usize) -> Vec<String> {
        self.connect(node).await.ask(requests, replies).await.expect("the server answers")
    }

    async fn refused(&self, node: usize, request: &str) -> String {
        self.connect(node).await.refused(request).await.expect("the server answers")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_agree_and_lose_nothing_acknowledged_when_one_is_killed() {
    let mut cluster = Cluster::start("fsync").await;
    for (node, amount) in [1, 10, 100].into_iter().enumerate() {
        // Received and committed by both others.
        let requests = format!("INCRBY hits {amount}\r\nWAIT 2 30000\r\nWAITAOF 1 2 30000\r\n");
        assert_eq!(cluster.ask(node, &requests, 4).await[1..], ["2", "1", "2"]);
    }
    for node in 0..3 {
        let requests = "GET hits\r\nEXISTS hits none\r\nDBSIZE\r\nTTL hits\r\nSCAN 0\r\nINCRBY hits 0\r\n";
        let answers = cluster.ask(node, requests, 7).await;
        assert_eq!(answers, ["111", "1", "1", "-1", "0", "hits", "111"], "node {node}");
        let refused = cluster.refused(node, "SET hits 1\r\n").await;
        assert_eq!(refused, "-ERR set needs one owner; this store is replicated");
    }
    let session = cluster.ask(0, "COUNT.SESSION\r\n", 1).await.remove(0);
    let add = format!("COUNT.ADD {session} 1 hits 0\r\n");
    assert_eq!(cluster.ask(0, &add, 1).await, ["111"]);
    assert_eq!(cluster.refused(1, &add).await, "-ELSEWHERE session belongs to node n0; use it there");

    // What only the first node has, it has on disk.
    cluster.proxies.iter().for_each(TcpProxy::cut);
    assert_eq!(cluster.ask(0, "INCRBY hits 1000\r\n", 1).await, ["1111"]);
    cluster.kill(0);
    cluster.start_node(0);
    assert_eq!(cluster.ask(0, "GET hits\r\n", 1).await, ["1111"]);
    assert!(cluster.refused(0, &add).await.starts_with("-EXPIRED "));
    cluster.proxies.iter().for_each(TcpProxy::heal);
    assert_eq!(cluster.ask(0, "WAIT 2 30000\r\n", 1).await, ["2"]);
    for node in 0..3 {
        assert_eq!(cluster.ask(node, "GET hits\r\n", 1).await, ["1111"], "node {node}");
    }

    // The first one that ends hands over; the next one has nobody to hand over to.
    for (node, expected) in [(0, 0), (1, 1)] {
        let process = cluster.process(node);
        process.signal("TERM");
        let (code, last_line) = process.ended();
        assert_eq!(code, Some(expected), "{last_line}");
        assert_eq!(
            last_line.contains("not everything that was counted here has reached n0"),
            code == Some(1)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_has_committed_survives_the_loss_of_a_node_with_its_disk() {
    let mut cluster = Cluster::start("replicated=1").await;
    assert_eq!(cluster.ask(0, "WAIT 2 30000\r\n", 1).await, ["2"]);
    assert_eq!(cluster.ask(0, "INCR hits\r\nINCRBY hits 6\r\n", 2).await, ["1", "7"]);
    (0..3).for_each(|node| cluster.kill(node));
    cluster.start_node(1);
    assert!(cluster.refused(1, "INCR hits\r\n").await.starts_with("-NOREPLICAS "));
    cluster.start_node(2);
    for node in [1, 2] {
        assert_eq!(cluster.ask(node, "WAIT 1 30000\r\n", 1).await, ["1"]);
    }
    for node in [1, 2] {
        assert_eq!(cluster.ask(node, "GET hits\r\n", 1).await, ["7"], "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_return_how_many_nodes_have_it_when_their_time_is_over() {
    let cluster = Cluster::start("memory").await;
    assert_eq!(cluster.ask(0, "WAIT 2 30000\r\n", 1).await, ["2"]);
    cluster.processes[2].as_ref().unwrap().signal("STOP");
    let mut client = cluster.connect(0).await;
    let requests =
        "INCR hits\r\nWAIT 1 30000\r\nWAIT 2 100\r\nMULTI\r\nWAIT 2 0\r\nEXEC\r\nWAITAOF 1 1 30000\r\n";
    let answers = client.ask(requests, 8).await.unwrap();
    assert_eq!(answers, ["1", "1", "1", "+OK", "+QUEUED", "1", "1", "1"]);
    assert_eq!(cluster.ask(1, "GET hits\r\n", 1).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_store_was_rolled_back_ends_with_a_choice() {
    let mut cluster = Cluster::new("fsync").await;
    let (data, backup) = (cluster.data(0), cluster.data(9));
    // Before it has met another node.
    cluster.start_node(0);
    assert_eq!(cluster.ask(0, "INCR hits\r\n", 1).await, ["1"]);
    cluster.kill(0);
    copy(&data, &backup);
    cluster.start_node(1);
    // Each has to know that the other has recorded it.
    for hits in 2..=4 {
        cluster.start_node(0);
        let answers = cluster.ask(0, "INCR hits\r\nWAITAOF 1 1 30000\r\n", 3).await;
        assert_eq!(answers, [hits.to_string().as_str(), "1", "1"]);
        cluster.kill(0);
    }
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    cluster.start_node(0);
    let (code, last_line) = cluster.process(0).ended();
    assert_eq!(code, Some(1), "{last_line}");
    assert!(last_line.contains("store has been rolled back: it does not know n1"), "{last_line}");
    assert!(last_line.contains("accept it with --accept-rollback"), "{last_line}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("there is room");
    for file in std::fs::read_dir(from).expect("it exists") {
        let file = file.expect("it exists");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("there is room");
    }
}
