use std::path::PathBuf;

use counter_stream::{GroupOptions, StreamNode, StreamOptions};
use ractor_transport::Cookie;

use crate::log::{check, partition, record};
use crate::process::{Member, say};

const DIR: &str = "COUNTER_STREAM_TEST_GROUP_DIR";
const PEER: &str = "COUNTER_STREAM_TEST_PEER";
/// File of the members' cookie, beside their directories.
const COOKIE: &str = "cookie";
const PARTITIONS: u32 = 2;
/// Number of records that the first owner reads, and the number that its successor reads besides.
const RECORDS: u64 = 5_000;

#[test]
fn a_successor_goes_on_from_what_it_holds_when_the_owner_is_killed() {
    let dirs = tempfile::tempdir().unwrap();
    Cookie::generate().write_new(dirs.path().join(COOKIE)).unwrap();
    let dir = |name: &str| dirs.path().join(name).to_str().unwrap().to_owned();
    let mut holder = Member::start("group::the_member_that_succeeds", &[(DIR, &dir("holder"))]);
    let address = holder.next("listening").unwrap();
    let reader = "group::the_member_that_reads_until_it_is_killed";
    let mut reader = Member::start(reader, &[(DIR, &dir("reader")), (PEER, &address)]);
    reader.next("read").unwrap();
    holder.next("holds").unwrap();
    reader.kill();
    holder.next("done").unwrap();
    holder.wait();
}

async fn start(name: &str, peers: Vec<String>) -> Option<StreamNode> {
    let dir = PathBuf::from(std::env::var(DIR).ok()?);
    let cookie = Cookie::from_file(dir.with_file_name(COOKIE)).unwrap();
    let mut group = GroupOptions::new(cookie);
    group.peers = peers;
    let options = StreamOptions { group: Some(group), ..StreamOptions::new(name.parse().unwrap(), dir) };
    Some(StreamNode::start(options).await.unwrap())
}

async fn read(node: &StreamNode, end: u64) {
    for number in 0..PARTITIONS {
        let owned = node.own(partition(number)).await.unwrap();
        assert_eq!(owned.position().offset, end - RECORDS);
        for offset in owned.position().offset..end {
            owned.send(record(number, offset)).await.unwrap();
        }
        owned.release().await.unwrap();
    }
}

/// Reads the first records, and waits. Runs in a process of its own only.
#[tokio::test]
async fn the_member_that_reads_until_it_is_killed() {
    let Ok(peer) = std::env::var(PEER) else { return };
    let node = start("reader", vec![peer]).await.unwrap();
    read(&node, RECORDS).await;
    say("read");
    std::future::pending().await
}

/// Waits for the first records from another member, and reads on from there. Runs in a process of its own only.
#[tokio::test]
async fn the_member_that_succeeds() {
    let Some(node) = start("holder", Vec::new()).await else { return };
    say(&format!("listening {}", node.local_addr().unwrap()));
    for number in 0..PARTITIONS {
        node.handle().wait_for(&partition(number), RECORDS).await.unwrap();
    }
    check(&node.handle(), PARTITIONS, RECORDS).await;
    say("holds");
    read(&node, 2 * RECORDS).await;
    check(&node.handle(), PARTITIONS, 2 * RECORDS).await;
    say("done");
    node.shutdown().await.unwrap();
}
