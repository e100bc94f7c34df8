use std::time::Duration;

use counter_stream::{StreamNode, StreamOptions};

use crate::log::{check, partition, record};
use crate::process::{Member, say};

/// Directory of the member that a child process runs.
const DIR: &str = "COUNTER_STREAM_TEST_DIR";
const PARTITIONS: u32 = 2;
const RECORDS: u64 = 20_000;
const KILLS: usize = 8;

#[test]
#[expect(clippy::print_stdout, reason = "the seed is for whoever sees the test fail")]
fn a_member_that_is_killed_again_and_again_ends_with_exact_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    println!("seed {}", random.get_seed());
    let mut known = [0; PARTITIONS as usize];
    for _ in 0..KILLS {
        let mut member = start(dir.path().to_str().unwrap());
        for _ in 0..random.usize(1..12) {
            note(member.next("at"), &mut known);
        }
        member.kill();
    }
    let mut member = start(dir.path().to_str().unwrap());
    while note(member.next("at"), &mut known) {}
    member.wait();
    assert_eq!(known, [RECORDS; PARTITIONS as usize]);
}

/// Notes a position that a member says is durable, as partition and offset. It is never behind an earlier one. Returns
/// false if the member has ended.
fn note(line: Option<String>, known: &mut [u64; PARTITIONS as usize]) -> bool {
    let Some(line) = line else { return false };
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let place = &mut known[usize::try_from(numbers[0]).unwrap()];
    assert!(*place <= numbers[1], "{line}, after {place}");
    *place = numbers[1];
    true
}

fn start(dir: &str) -> Member {
    Member::start("kills::the_member_that_another_test_kills", &[(DIR, dir)])
}

/// Reads all partitions to their ends, and checks the counts. Runs in a process of its own only.
#[tokio::test]
async fn the_member_that_another_test_kills() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut options = StreamOptions::new("a".parse().unwrap(), dir);
    options.store.round_interval = Duration::from_millis(1);
    let node = StreamNode::start(options).await.unwrap();
    let mut reading = Vec::new();
    for number in 0..PARTITIONS {
        let owned = node.own(partition(number)).await.unwrap();
        say(&format!("at {number} {}", owned.position().offset));
        reading.push(tokio::spawn(async move {
            for offset in owned.position().offset..RECORDS {
                owned.send(record(number, offset)).await.unwrap();
                if offset % 1_000 == 0 {
                    let committed = *owned.committed().borrow();
                    say(&format!("at {number} {}", committed.offset));
                    tokio::task::yield_now().await;
                }
            }
            let end = owned.release().await.unwrap();
            say(&format!("at {number} {}", end.offset));
        }));
    }
    for reading in reading {
        reading.await.unwrap();
    }
    check(&node.handle(), PARTITIONS, RECORDS).await;
    node.shutdown().await.unwrap();
}
