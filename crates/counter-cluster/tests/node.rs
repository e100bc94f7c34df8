//! A node alone. Several are tested as processes, by `counter-server`: a process can only be one.

use std::time::Duration;

use counter_cluster::{Node, NodeOptions, Total};
use counter_protocol::CounterName;
use ractor_transport::Cookie;

async fn node(name: &str) -> Node {
    let name = name.parse().expect("it is a name");
    Node::start(NodeOptions::new(name, Cookie::generate())).await.expect("nodes start")
}

#[tokio::test]
async fn a_sender_reads_its_own_writes() {
    let node = node("alone").await;
    let handle = node.handle();
    for n in 1..=100_i64 {
        handle.keyspace().increment("a", n % 7 - 3).await.unwrap();
        handle.keyspace().try_increment("b", 1).unwrap();
        let reading = handle.value("b").await.unwrap();
        assert_eq!(reading.total.operations, u128::try_from(n).unwrap());
        assert!(reading.peers.is_empty());
        let status = handle.status().await.unwrap();
        assert_eq!(status.total().operations, 2 * u128::try_from(n).unwrap());
    }
    assert_eq!(
        handle.top(1).await.unwrap(),
        [(CounterName::from_static("b"), Total { value: 100, operations: 100 })]
    );
    assert_eq!(handle.status().await.unwrap().names, 2);
    assert_eq!(handle.value("nobody").await.unwrap().total, Total::default());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn alone_nobody_is_missing_and_a_shutdown_hands_over_to_nobody() {
    let node = node("alone-too").await;
    let handle = node.handle();
    handle.keyspace().increment("a", 1).await.unwrap();
    assert!(handle.refresh(None, Duration::from_secs(9)).await.unwrap().is_empty());
    assert!(handle.refresh(Some(b"a"), Duration::from_secs(9)).await.unwrap().is_empty());
    node.shutdown().await.unwrap();
    assert!(handle.keyspace().increment("a", 1).await.is_err());
    assert!(handle.status().await.is_err());
}
