//! Exit codes, by the state of the peers.

use counter_chaos::NodeProcess;
use nix::sys::signal::Signal;
use tcp_proxy::TcpProxy;

use super::setup::{Files, NEVER, shared, until_connected, until_held};

/// Ends a node with SIGTERM, and returns its exit code and the one line that names the peers that lack something.
async fn terminate(mut node: NodeProcess) -> (Option<i32>, Option<String>) {
    node.signal(Signal::SIGTERM).unwrap();
    let code = node.ended(NEVER).await.unwrap().code();
    let log = node.log().unwrap();
    let mut lines = log.lines().filter(|line| line.starts_with("counter-server: "));
    let line = lines.next().map(ToOwned::to_owned);
    assert_eq!(lines.next(), None, "{log}");
    (code, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_never_there_lacks_everything() {
    let _machine = shared().await;
    // Nobody listens at the port of a listener that is gone.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let files = Files::new();
    let node = files.start("a", &[nobody]).await;
    node.client().add("x", 1).await.unwrap();
    node.logs("not connected; further attempts follow", NEVER).await.unwrap();
    let line = format!(
        "counter-server: not everything that was counted here has reached {nobody} (never connected)"
    );
    assert_eq!(terminate(node).await, (Some(1), Some(line)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_gone_lacks_what_was_counted_since() {
    let _machine = shared().await;
    let files = Files::new();
    let mut b = files.start("b", &[]).await;
    let node = files.start("a", &[b.address()]).await;
    node.client().add("x", 1).await.unwrap();
    until_held(&b, "x", 1).await;
    b.signal(Signal::SIGKILL).unwrap();
    b.ended(NEVER).await.unwrap();
    until_connected(&node, &[]).await;
    let line = "counter-server: not everything that was counted here has reached b".to_owned();
    assert_eq!(terminate(node).await, (Some(1), Some(line)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_peers_have_everything_exits_with_0() {
    let _machine = shared().await;
    let files = Files::new();
    let b = files.start("b", &[]).await;
    let node = files.start("a", &[b.address()]).await;
    node.client().add("x", 1).await.unwrap();
    until_held(&b, "x", 1).await;
    node.client().add_all([("x", 1), ("x", 1)]).await.unwrap();
    assert_eq!(terminate(node).await, (Some(0), None));
    until_held(&b, "x", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_a_peer_came_is_handed_over_however_soon_the_node_goes() {
    const NAMES: u64 = 50_000;
    let _machine = shared().await;
    for _ in 0..3 {
        let (files, wire) = (Files::new(), TcpProxy::start().await.unwrap());
        let b = files.start("b", &[]).await;
        let node = files.start("a", &[wire.address()]).await;
        node.client().add_all((0..NAMES).map(|n| (n.to_string(), 1))).await.unwrap();

        wire.set_target(b.address());
        node.logs("a node is there", NEVER).await.unwrap();
        assert_eq!(terminate(node).await, (Some(0), None));
        let held = b.client().report().await.unwrap();
        assert_eq!((held.counters, held.operations), (NAMES, NAMES.into()));
    }
}
