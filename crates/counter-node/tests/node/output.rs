//! Standard output and standard error without a reader, or closed.

use std::io::{PipeWriter, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitStatus, Stdio};

use counter_chaos::NodeProcess;
use nix::sys::signal::Signal;

use super::setup::{Files, Node, until_held};

/// Returns both ends of a stream with no room: the first byte that is written blocks. It is not a pipe, because std
/// cannot fill one without knowing its size, which is less than usual for a user who has many.
fn full_stream() -> (UnixStream, OwnedFd) {
    let (reader, mut writer) = UnixStream::pair().expect("there are files left");
    writer.set_nonblocking(true).expect("it is a socket");
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    writer.set_nonblocking(false).expect("it is a socket");
    (reader, writer.into())
}

/// Returns a pipe without a reader: the first byte that is written fails.
fn closed_pipe() -> PipeWriter {
    pipe().expect("there are files left").1
}

/// Writes lines with one operation of `x`, waits until the peer holds each, and ends the node with SIGTERM.
async fn counts_on_and_ends(mut node: Node, peer: &NodeProcess, lines: &[u8]) -> (ExitStatus, String) {
    for n in 1..=10 {
        node.write(lines).await;
        until_held(peer, "x", n).await;
    }
    node.signal(Signal::SIGTERM);
    node.ended().await
}

#[tokio::test]
async fn a_node_whose_output_nobody_reads_counts_on_and_ends_when_told() {
    let (files, (_unread, full)) = (Files::new(), full_stream());
    let b = files.peer("b").await;
    let arguments = ["--report-every", "1ms", "--peer", &b.address().to_string()];
    let node = Node::start_with(&files, &arguments, full, Stdio::piped());
    let (status, said) = counts_on_and_ends(node, &b, b"x\n").await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn a_node_whose_output_is_closed_says_so_once_and_counts_on() {
    let files = Files::new();
    let b = files.peer("b").await;
    let arguments = ["--report-every", "1ms", "--peer", &b.address().to_string()];
    let node = Node::start_with(&files, &arguments, closed_pipe(), Stdio::piped());
    let (status, said) = counts_on_and_ends(node, &b, b"x\n").await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(said.matches("standard output is closed").count(), 1, "{said}");
}

#[tokio::test]
async fn a_node_whose_answers_nobody_reads_ends_when_told() {
    let (files, (_unread, full)) = (Files::new(), full_stream());
    let b = files.peer("b").await;
    let arguments = ["--stdin", "requests", "--peer", &b.address().to_string()];
    let mut node = Node::start_with(&files, &arguments, full, Stdio::piped());
    node.write(&b"{\"add\":{\"name\":\"x\",\"amount\":1}}\n".repeat(3)).await;
    node.write(&b"[7,{\"add\":{\"name\":\"x\",\"amount\":1}}]\n".repeat(3)).await;
    until_held(&b, "x", 6).await;
    node.signal(Signal::SIGTERM);
    let (status, said) = node.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn requests_that_cannot_be_answered_are_not_carried_out_and_the_node_stays_until_they_end() {
    let files = Files::new();
    let b = files.peer("b").await;
    let arguments = ["--stdin", "requests", "--peer", &b.address().to_string()];
    let mut node = Node::start_with(&files, &arguments, closed_pipe(), Stdio::piped());
    node.write(b"{\"add\":{\"name\":\"x\",\"amount\":1}}\n").await;
    node.logs("standard output is closed").await;
    until_held(&b, "x", 1).await;
    node.write(&b"{\"add\":{\"name\":\"x\",\"amount\":1}}\n".repeat(1000)).await;
    node.close();
    let (status, said) = node.ended().await;
    assert_eq!((status.code(), said.matches("standard output").count()), (Some(0), 0), "{said}");
    until_held(&b, "x", 1).await;
}

#[tokio::test]
async fn a_node_whose_log_nobody_reads_counts_on_and_ends_when_told() {
    let (files, (_unread, full)) = (Files::new(), full_stream());
    let b = files.peer("b").await;
    let arguments = ["--report-every", "1ms", "--peer", &b.address().to_string()];
    let node = Node::start_with(&files, &arguments, full.try_clone().unwrap(), full);
    // The second line is warned of.
    assert_eq!(counts_on_and_ends(node, &b, b"x\nx\ty\n").await.0.code(), Some(0));
}
