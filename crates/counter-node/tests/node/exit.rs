//! Exit codes, by the state of the peers.

use nix::sys::signal::Signal;
use tcp_proxy::TcpProxy;

use super::setup::{Files, NEVER, Node, until_held, until_reported};

/// Returns the one line that names the peers that lack something.
fn lacking(said: &str) -> &str {
    let mut lines = said.lines().filter(|line| line.starts_with("counter-node: "));
    let line = lines.next().expect("there is a line");
    assert_eq!(lines.next(), None, "{said}");
    line
}

#[tokio::test]
async fn a_peer_that_was_never_there_lacks_everything() {
    // Nobody listens at the port of a listener that is gone.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let files = Files::new();
    let mut node = Node::start_silent(&files, &["--peer", &nobody]);
    node.write(b"x\n").await;
    node.logs("not connected; further attempts follow").await;
    node.signal(Signal::SIGTERM);
    let (status, said) = node.ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    let line =
        format!("counter-node: not everything that was counted here has reached {nobody} (never connected)");
    assert_eq!(lacking(&said), line);
}

#[tokio::test]
async fn a_peer_that_is_gone_lacks_what_was_counted_since() {
    let files = Files::new();
    let mut b = files.peer("b").await;
    let arguments = ["--json", "--report-every", "20ms", "--peer", &b.address().to_string()];
    let (mut node, mut reports) = Node::start(&files, &arguments);
    node.write(b"x\n").await;
    until_held(&b, "x", 1).await;
    b.signal(Signal::SIGKILL).unwrap();
    b.ended(NEVER).await.unwrap();
    until_reported(&mut reports, |report| report.peers.iter().any(|peer| !peer.is_up)).await;
    node.signal(Signal::SIGTERM);
    let (status, said) = node.ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(lacking(&said), "counter-node: not everything that was counted here has reached b");
}

#[tokio::test]
async fn a_node_whose_peers_have_everything_exits_with_0() {
    let files = Files::new();
    let b = files.peer("b").await;
    let mut node = Node::start_silent(&files, &["--peer", &b.address().to_string()]);
    node.write(b"x\n").await;
    until_held(&b, "x", 1).await;
    node.write(b"x\nx\n").await;
    node.signal(Signal::SIGTERM);
    let (status, said) = node.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn what_was_counted_before_a_peer_came_is_handed_over_however_soon_the_node_goes() {
    const NAMES: u64 = 50_000;
    for _ in 0..3 {
        let (files, wire) = (Files::new(), TcpProxy::start().await.unwrap());
        let b = files.peer("b").await;
        let arguments = ["--json", "--report-every", "20ms", "--peer", &wire.address().to_string()];
        let (mut node, mut reports) = Node::start(&files, &arguments);
        let names: Vec<_> = (0..NAMES).map(|n| n.to_string()).collect();
        node.write(names.join("\n").as_bytes()).await;
        node.write(b"\n").await;
        until_reported(&mut reports, |report| report.names == NAMES).await;

        wire.set_target(b.address());
        node.logs("a node is there").await;
        node.signal(Signal::SIGTERM);
        let (status, said) = node.ended().await;
        assert_eq!(status.code(), Some(0), "{said}");
        let held = b.client().report().await.unwrap();
        assert_eq!((held.names, held.total.operations), (NAMES, NAMES.into()));
    }
}
