//! A node's limit for connections of other nodes.

use counter_chaos::{Launch, NodeProcess};
use nix::sys::signal::Signal;

use super::setup::{Files, NEVER, shared, until_connected};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_accepts_as_many_connections_as_it_is_told() {
    let _machine = shared().await;
    let files = Files::new();
    let arguments = ["--memory", "--max-peer-connections", "1"].map(String::from).to_vec();
    let a = NodeProcess::start(&Launch { arguments, ..files.launch("a", &[]) }).await.unwrap();
    let mut b = files.start("b", &[a.address()]).await;
    until_connected(&a, &["b"]).await;

    let c = files.start("c", &[a.address()]).await;
    c.logs("still not connected", NEVER).await.unwrap();
    until_connected(&a, &["b"]).await;

    b.signal(Signal::SIGKILL).unwrap();
    b.ended(NEVER).await.unwrap();
    until_connected(&a, &["c"]).await;
}
