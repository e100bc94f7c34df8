use std::time::Duration;

use counter_stream::Position;
use counter_stream::kafka::{Consumer, ConsumerError, IdentityError, Stage, Status, UncountablePolicy};
use rdkafka::message::Message;
use tokio::time::sleep;

use crate::log::{LETTERS, Log, header, until};
use crate::memory::Memory;

const PARTITIONS: i32 = 4;

fn counted(status: &Status, partition: i32) -> u64 {
    status.partitions.get(&partition).map_or(0, |partition| partition.committed)
}

fn stopped(status: &Status, partition: i32) -> Option<String> {
    match &status.partitions.get(&partition)?.stage {
        Stage::Stopped(reason) => Some(reason.clone()),
        Stage::Opening | Stage::Running | Stage::Releasing => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_count_each_record_once() {
    let (log, memory) = (Log::with_partitions(PARTITIONS), Memory::default());
    let first = log.member(&memory).await;
    for partition in 0..PARTITIONS {
        log.write(partition, &[("a", "1"), ("b", "10")]).await;
    }
    until(&first, |status| (0..PARTITIONS).all(|partition| counted(status, partition) == 2)).await;
    let second = log.member(&memory).await;
    let status = until(&second, |status| status.partitions.len() == 2).await;
    for partition in 0..PARTITIONS {
        log.write(partition, &[("a", "1")]).await;
    }
    until(&second, |now| status.partitions.keys().all(|partition| counted(now, *partition) == 3)).await;
    let status = until(&first, |status| status.revoked == 2 && status.partitions.len() == 2).await;
    assert_eq!(status.lost, 0);
    first.leave().await.unwrap();
    until(&second, |status| (0..PARTITIONS).all(|partition| counted(status, partition) == 3)).await;
    second.leave().await.unwrap();
    assert_eq!(memory.sums(), [("a".into(), 8), ("b".into(), 40)].into());
    let releases: u64 = (0..4).map(|partition| memory.column(partition).releases).sum();
    assert_eq!(
        releases, 8,
        "two for the second member, two when the first one leaves, four when the second one does"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_room_holds_up_no_other_and_goes_on_when_there_is() {
    let (log, memory) = (Log::with_partitions(2), Memory::default());
    memory.set_full(0, true);
    let records = vec![("a", "1"); 5_000];
    log.write(0, &records).await;
    let member = log.member(&memory).await;
    until(&member, |status| status.partitions.contains_key(&0)).await;
    log.write(1, &records).await;
    until(&member, |status| counted(status, 1) == 5_000).await;
    assert_eq!(memory.column(0).operations, 0);
    memory.set_full(0, false);
    until(&member, |status| counted(status, 0) == 5_000).await;
    assert_eq!(memory.sums(), [("a".into(), 10_000)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_begins_at_the_offset_that_its_node_holds_whatever_the_group_has_committed() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    log.write(0, &[("a", "1"), ("b", "1")]).await;
    let member = log.member(&memory).await;
    until(&member, |status| counted(status, 0) == 2).await;
    member.leave().await.unwrap();
    let restored = Memory::default();
    restored.set_position(0, Position { offset: 1, leader_epoch: None });
    let member = log.member(&restored).await;
    until(&member, |status| counted(status, 0) == 2).await;
    assert_eq!(restored.sums(), [("b".into(), 1)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_before_what_was_counted_stops_its_partition_and_no_other() {
    let (log, memory) = (Log::with_partitions(2), Memory::default());
    memory.set_position(0, Position { offset: 5, leader_epoch: None });
    log.write(0, &[("a", "1")]).await;
    log.write(1, &[("b", "1")]).await;
    let member = log.member(&memory).await;
    let status = until(&member, |status| stopped(status, 0).is_some() && counted(status, 1) == 1).await;
    let reason = stopped(&status, 0).unwrap();
    assert!(reason.contains("ends at offset 1, before offset 5"), "{reason}");
    assert_eq!(memory.sums(), [("b".into(), 1)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_is_a_dead_letter_before_its_offset_is_durable() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    let mut options = log.options();
    options.uncountable = UncountablePolicy::DeadLetter(LETTERS.into());
    log.write(0, &[("a", "1"), ("b", "many"), ("c", "2")]).await;
    let member = Consumer::start(options, memory.clone()).await.unwrap();
    let status = until(&member, |status| counted(status, 0) == 3).await;
    assert_eq!((status.partitions[&0].records, status.partitions[&0].skipped), (3, 1));
    assert_eq!(memory.column(0).skipped, 1);
    assert_eq!(memory.sums(), [("a".into(), 1), ("c".into(), 2)].into());
    let letters = log.read(LETTERS, 0, 1).await;
    let key = String::from_utf8(letters[0].key().unwrap().into()).unwrap();
    assert!(key.ends_with("/0/1") && key.len() == 32 + 4, "{key}");
    assert_eq!(letters[0].payload(), Some(&b"many"[..]));
    assert_eq!(header(&letters[0], "counter-key").as_deref(), Some("b"));
    let reason = header(&letters[0], "counter-reason");
    assert_eq!(reason.as_deref(), Some("amount that is not an integer of 64 bits"));
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_away_is_read_on() {
    let (log, memory) = (Log::with_partitions(2), Memory::default());
    log.write(0, &[("a", "1")]).await;
    let member = log.member(&memory).await;
    until(&member, |status| counted(status, 0) == 1).await;
    log.cluster.broker_down(-1).unwrap();
    // The outage itself: longer than a session.
    sleep(Duration::from_secs(5)).await;
    log.cluster.broker_up(-1).unwrap();
    log.write(0, &[("a", "1")]).await;
    log.write(1, &[("a", "1")]).await;
    until(&member, |status| counted(status, 0) == 2 && counted(status, 1) == 1).await;
    assert_eq!(memory.sums(), [("a".into(), 3)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_directory_counts_another_mapping_does_not_start() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    log.member(&memory).await.leave().await.unwrap();
    let mut options = log.options();
    options.mapping.amount = "1".parse().unwrap();
    let refused = Consumer::start(options, memory).await.unwrap_err();
    assert!(matches!(refused, ConsumerError::Identity(IdentityError::Changed { .. })), "{refused}");
}
