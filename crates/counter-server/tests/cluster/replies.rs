//! Replies to clients of Redis by the servers of a cluster.

use counter_chaos::Cluster;

use super::connection::Connection;
use super::setup::{durable_cluster, shared};

async fn connect(cluster: &Cluster, node: usize) -> Connection {
    Connection::connect(cluster.node(node).unwrap().resp_addr()).await.unwrap()
}

/// Sends requests to a node, and returns the texts of its replies.
async fn ask(cluster: &Cluster, node: usize, requests: &str, replies: usize) -> Vec<String> {
    connect(cluster, node).await.ask(requests, replies).await.unwrap()
}

async fn refused(cluster: &Cluster, node: usize, request: &str) -> String {
    connect(cluster, node).await.refused(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_agree_and_lose_nothing_acknowledged_when_one_is_killed() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(3, "fsync").await;
    for (node, amount) in [1, 10, 100].into_iter().enumerate() {
        // Received and committed by both others.
        let requests = format!("INCRBY hits {amount}\r\nWAIT 2 30000\r\nWAITAOF 1 2 30000\r\n");
        assert_eq!(ask(&cluster, node, &requests, 4).await[1..], ["2", "1", "2"]);
    }
    for node in 0..3 {
        let requests = "GET hits\r\nEXISTS hits none\r\nDBSIZE\r\nTTL hits\r\nSCAN 0\r\nINCRBY hits 0\r\n";
        let answers = ask(&cluster, node, requests, 7).await;
        assert_eq!(answers, ["111", "1", "1", "-1", "0", "hits", "111"], "node {node}");
        let refused = refused(&cluster, node, "SET hits 1\r\n").await;
        assert_eq!(refused, "-ERR set needs one owner; this store is replicated");
    }
    let session = ask(&cluster, 0, "COUNT.SESSION\r\n", 1).await.remove(0);
    let add = format!("COUNT.ADD {session} 1 hits 0\r\n");
    assert_eq!(ask(&cluster, 0, &add, 1).await, ["111"]);
    assert_eq!(refused(&cluster, 1, &add).await, "-ELSEWHERE session belongs to node a; use it there");

    // What only the first node has, it has on disk.
    (0..3).for_each(|node| cluster.isolate(node));
    assert_eq!(ask(&cluster, 0, "INCRBY hits 1000\r\n", 1).await, ["1111"]);
    cluster.kill(0).await.unwrap();
    cluster.restart(0).await.unwrap();
    assert_eq!(ask(&cluster, 0, "GET hits\r\n", 1).await, ["1111"]);
    assert!(refused(&cluster, 0, &add).await.starts_with("-EXPIRED "));
    cluster.heal_all();
    assert_eq!(ask(&cluster, 0, "WAIT 2 30000\r\n", 1).await, ["2"]);
    for node in 0..3 {
        assert_eq!(ask(&cluster, node, "GET hits\r\n", 1).await, ["1111"], "node {node}");
    }

    // The first one that ends hands over; the next one has nobody to hand over to.
    for (node, expected) in [(0, 0), (1, 1)] {
        let status = cluster.terminate(node).await.unwrap();
        let log = std::fs::read_to_string(&cluster.launch(node).log).unwrap();
        assert_eq!(status.code(), Some(expected), "{log}");
        let lacking = log.contains("counter-server: not everything that was counted here has reached a");
        assert_eq!(lacking, expected == 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_has_committed_survives_the_loss_of_a_node_with_its_disk() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(3, "replicated=1").await;
    assert_eq!(ask(&cluster, 0, "WAIT 2 30000\r\n", 1).await, ["2"]);
    assert_eq!(ask(&cluster, 0, "INCR hits\r\nINCRBY hits 6\r\n", 2).await, ["1", "7"]);
    for node in 0..3 {
        cluster.kill(node).await.unwrap();
    }
    cluster.restart(1).await.unwrap();
    assert!(refused(&cluster, 1, "INCR hits\r\n").await.starts_with("-NOREPLICAS "));
    cluster.restart(2).await.unwrap();
    for node in [1, 2] {
        assert_eq!(ask(&cluster, node, "WAIT 1 30000\r\n", 1).await, ["1"]);
    }
    for node in [1, 2] {
        assert_eq!(ask(&cluster, node, "GET hits\r\n", 1).await, ["7"], "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_return_how_many_nodes_have_it_when_their_time_is_over() {
    let _machine = shared().await;
    let mut cluster = durable_cluster(3, "memory").await;
    assert_eq!(ask(&cluster, 0, "WAIT 2 30000\r\n", 1).await, ["2"]);
    cluster.pause(2).await.unwrap();
    let mut client = connect(&cluster, 0).await;
    let requests =
        "INCR hits\r\nWAIT 1 30000\r\nWAIT 2 100\r\nMULTI\r\nWAIT 2 0\r\nEXEC\r\nWAITAOF 1 1 30000\r\n";
    let answers = client.ask(requests, 8).await.unwrap();
    assert_eq!(answers, ["1", "1", "1", "+OK", "+QUEUED", "1", "1", "1"]);
    assert_eq!(ask(&cluster, 1, "GET hits\r\n", 1).await, ["1"]);
}
