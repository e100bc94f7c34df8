//! Signals: one, and a second one.

use nix::sys::signal::Signal;

use super::setup::{Files, NEVER, shared, until_held};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_node_at_once() {
    let _machine = shared().await;
    for (second, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let files = Files::new();
        let b = files.start("b", &[]).await;
        let mut node = files.start("a", &[b.address()]).await;
        node.client().add("x", 1).await.unwrap();
        until_held(&b, "x", 1).await;
        // It takes nothing any more, so handing over takes its time.
        b.pause().await.unwrap();
        node.client().add("x", 1).await.unwrap();
        node.signal(Signal::SIGTERM).unwrap();
        node.logs("told to stop", NEVER).await.unwrap();
        node.signal(second).unwrap();
        let status = node.ended(NEVER).await.unwrap();
        assert_eq!(status.code(), Some(code), "{}", node.log().unwrap());
    }
}
