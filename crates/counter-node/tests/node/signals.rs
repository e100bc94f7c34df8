//! Signals: one, and a second one.

use nix::sys::signal::Signal;

use super::setup::{Files, Node, until_held, until_reported};

#[tokio::test]
async fn a_second_signal_ends_a_node_at_once() {
    for (second, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let files = Files::new();
        let b = files.peer("b").await;
        let arguments = ["--json", "--report-every", "20ms", "--peer", &b.address().to_string()];
        let (mut node, mut reports) = Node::start(&files, &arguments);
        node.write(b"x\n").await;
        until_held(&b, "x", 1).await;
        // It takes nothing any more, so handing over takes its time.
        b.signal(Signal::SIGSTOP).unwrap();
        node.write(b"x\n").await;
        until_reported(&mut reports, |report| report.total.operations == 2).await;
        node.signal(Signal::SIGTERM);
        node.logs("told to stop").await;
        node.signal(second);
        let (status, said) = node.ended().await;
        assert_eq!(status.code(), Some(code), "{said}");
    }
}
