//! A node's limit for connections.

use std::fs;
use std::time::Duration;

use counter_chaos::{Launch, NodeProcess};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::setup::{Files, NEVER};

/// Waits until a node sees this one peer, and no other.
async fn until_sees(node: &NodeProcess, peer: &str) {
    let begun = Instant::now();
    loop {
        let peers = node.client().report().await.expect("it answers").peers;
        let up: Vec<_> = peers.iter().filter(|peer| peer.is_up).map(|peer| peer.node.as_str()).collect();
        if up == [peer] {
            return;
        }
        assert!(begun.elapsed() < NEVER, "{up:?} are connected, and not {peer}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_node_accepts_as_many_connections_as_it_is_told() {
    let files = Files::new();
    let a = Launch { arguments: vec!["--max-connections".into(), "1".into()], ..files.launch("a") };
    let a = NodeProcess::start(&a).await.unwrap();
    let dialling = |name: &str| Launch { peers: vec![a.address()], ..files.launch(name) };
    let mut b = NodeProcess::start(&dialling("b")).await.unwrap();
    until_sees(&a, "b").await;

    let c = dialling("c");
    let _c = NodeProcess::start(&c).await.unwrap();
    let begun = Instant::now();
    while !fs::read_to_string(&c.log).unwrap().contains("still not connected") {
        assert!(begun.elapsed() < NEVER, "it is connected");
        sleep(Duration::from_millis(5)).await;
    }
    until_sees(&a, "b").await;

    b.signal(Signal::SIGKILL).unwrap();
    b.ended(NEVER).await.unwrap();
    until_sees(&a, "c").await;
}
