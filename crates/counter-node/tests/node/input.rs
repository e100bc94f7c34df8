//! Lines that cannot be counted or understood, and lines without end.

use counter_protocol::CounterName;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::setup::{Files, NEVER, Node, until_reported};

const REPORTS: [&str; 3] = ["--json", "--report-every", "20ms"];

/// Maximum memory that any input may take.
const MEMORY: u64 = 16 * 1024 * 1024;

/// Size of an input that is far larger than that.
const ENDLESS: usize = 256 * 1024 * 1024;

#[tokio::test]
async fn a_line_that_cannot_be_counted_is_refused_and_the_node_goes_on() {
    let files = Files::new();
    let (mut node, mut reports) = Node::start(&files, &REPORTS);
    let longest = "n".repeat(CounterName::MAX_BYTES);
    node.write(format!("a\n{longest}n\n{longest}\nb\tx\n{longest}n\t7\n{longest}\t7\na\t2").as_bytes()).await;
    node.close();
    until_reported(&mut reports, |report| (report.names, report.total.operations) == (2, 4)).await;
    until_reported(&mut reports, |report| report.total.value == 11).await;

    node.signal(Signal::SIGTERM);
    let (status, said) = node.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("standard input")).collect();
    let [first, last] = warnings[..] else { panic!("{said}") };
    assert!(first.contains("line 2 is not counted: too long: names have at most 65536 bytes"), "{said}");
    assert!(last.ends_with("(lines not counted so far: 3)"), "{said}");
}

#[tokio::test]
async fn refused_lines_do_not_fill_the_log() {
    let files = Files::new();
    let (mut node, mut reports) = Node::start(&files, &REPORTS);
    node.write("a\tx\n".repeat(20_000).as_bytes()).await;
    node.write(b"a\n").await;
    until_reported(&mut reports, |report| report.total.operations == 1).await;
    node.signal(Signal::SIGTERM);
    let (status, said) = node.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("standard input")).collect();
    assert!(warnings.len() <= 10, "{said}");
    assert!(
        warnings.last().is_some_and(|line| line.ends_with("(lines not counted so far: 20000)")),
        "{said}"
    );
}

#[tokio::test]
async fn a_line_without_end_takes_no_memory() {
    let files = Files::new();
    let (mut node, mut reports) = Node::start(&files, &REPORTS);
    node.write(b"a\n").await;
    until_reported(&mut reports, |report| report.total.operations == 1).await;
    let before = node.peak_bytes();
    endless(&mut node).await;
    node.write(b"\na\n").await;
    until_reported(&mut reports, |report| report.total.operations == 2).await;
    let more = node.peak_bytes() - before;
    assert!(more <= MEMORY, "{more} bytes more");
}

#[tokio::test]
async fn a_request_without_end_takes_no_memory_and_is_answered() {
    let files = Files::new();
    let (mut node, mut answers) = Node::start(&files, &["--stdin", "requests"]);
    let mut answer = async || timeout(NEVER, answers.next_line()).await.expect("it answers").unwrap();
    node.write(b"{\"top\":{\"n\":1}}\n").await;
    assert_eq!(answer().await.as_deref(), Some(r#"{"top":[]}"#));
    let before = node.peak_bytes();
    endless(&mut node).await;
    node.write(b"\n{\"top\":{\"n\":1}}\n").await;
    assert_eq!(answer().await.as_deref(), Some(r#"{"failed":"request of more than 524288 bytes"}"#));
    assert_eq!(answer().await.as_deref(), Some(r#"{"top":[]}"#));
    let more = node.peak_bytes() - before;
    assert!(more <= MEMORY, "{more} bytes more");
    node.close();
    assert_eq!(node.ended().await.0.code(), Some(0));
}

async fn endless(node: &mut Node) {
    let block = vec![b'['; 1024 * 1024];
    for _ in 0..ENDLESS / block.len() {
        node.write(&block).await;
    }
}
