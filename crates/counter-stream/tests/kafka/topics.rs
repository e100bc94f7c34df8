//! Members whose topic has changed.

use counter_stream::Position;
use counter_stream::kafka::{Consumer, ConsumerError, IdentityError, OutOfRange};

use crate::log::{Log, TOPIC, counted, stopped, until};
use crate::memory::Memory;

/// An id that no topic has.
const OTHER_ID: &str = "a1a2a3a4-b1b2-c1c2-d1d2-d3d4d5d6d7d8";

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
async fn a_log_whose_next_record_was_deleted_stops_its_partition_unless_told_to_skip() {
    // The cluster keeps the last five megabytes of a partition.
    let (log, memory) = (Log::with_partitions(2), Memory::default());
    let value = format!("{}1", "0".repeat(100_000));
    log.write(0, &vec![("a", value.as_str()); 100]).await;
    log.write(1, &[("b", "1")]).await;
    let member = log.member(&memory).await;
    let status = until(&member, |status| stopped(status, 0).is_some() && counted(status, 1) == 1).await;
    let reason = stopped(&status, 0).unwrap();
    assert!(reason.contains("behind offset 0, the next one to count: start with --skip-missing"), "{reason}");
    member.leave().await.unwrap();

    let mut options = log.options();
    options.missing = OutOfRange::Skip;
    let member = Consumer::start(options, memory.clone()).await.unwrap();
    until(&member, |status| counted(status, 0) == 100).await;
    let kept = memory.column(0).operations;
    assert!((1..100).contains(&kept), "{kept}");
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_gains_partitions_is_counted_in_all_of_them() {
    let ((log, proxy), memory) = (Log::behind_proxy(4).await, Memory::default());
    proxy.answers().partitions = Some(2);
    let member = Consumer::start(log.options_by(&proxy), memory.clone()).await.unwrap();
    for partition in 0..4 {
        log.write(partition, &[("a", "1")]).await;
    }
    let status = until(&member, |status| (0..2).all(|partition| counted(status, partition) == 1)).await;
    assert_eq!(status.partitions.len(), 2);
    proxy.answers().partitions = None;
    until(&member, |status| (0..4).all(|partition| counted(status, partition) == 1)).await;
    log.write(0, &[("a", "1")]).await;
    until(&member, |status| counted(status, 0) == 2).await;
    assert_eq!(memory.sums(), [("a".into(), 5)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_and_created_again_is_not_read_on() {
    let ((log, proxy), memory) = (Log::behind_proxy(1).await, Memory::default());
    log.write(0, &[("a", "1")]).await;
    let member = Consumer::start(log.options_by(&proxy), memory.clone()).await.unwrap();
    until(&member, |status| counted(status, 0) == 1).await;
    proxy.answers().topic_id = Some(OTHER_ID);
    let status = until(&member, |status| stopped(status, 0).is_some()).await;
    let reason = stopped(&status, 0).unwrap();
    assert!(reason.contains("topic that was deleted and created again"), "{reason}");
    log.write(0, &[("a", "1")]).await;
    member.leave().await.unwrap();
    let refused = Consumer::start(log.options_by(&proxy), memory.clone()).await.unwrap_err();
    assert!(matches!(refused, ConsumerError::Identity(IdentityError::Changed { .. })), "{refused}");
    assert_eq!(memory.sums(), [("a".into(), 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_truncated_while_it_is_read_stops_its_partition_until_it_is_retried() {
    let ((log, proxy), memory) = (Log::behind_proxy(2).await, Memory::default());
    let member = Consumer::start(log.options_by(&proxy), memory.clone()).await.unwrap();
    log.write(0, &[("a", "1"); 3]).await;
    log.write(1, &[("b", "1")]).await;
    until(&member, |status| counted(status, 0) == 3 && counted(status, 1) == 1).await;
    // Another leader, which lacks the last record of the earlier one.
    proxy.answers().epoch_end = Some(2);
    log.cluster.partition_leader(TOPIC, 0, Some(1)).unwrap();
    let status = until(&member, |status| stopped(status, 0).is_some()).await;
    let reason = stopped(&status, 0).unwrap();
    assert!(reason.contains("truncated at offset 2, after records up to offset 3 were counted"), "{reason}");
    log.write(1, &[("b", "1")]).await;
    until(&member, |status| counted(status, 1) == 2).await;
    assert_eq!(memory.sums(), [("a".into(), 3), ("b".into(), 2)].into());
    // The leader that has them all is back.
    proxy.answers().epoch_end = None;
    log.write(0, &[("a", "1")]).await;
    member.retry_stopped();
    until(&member, |status| counted(status, 0) == 4).await;
    assert_eq!(memory.sums(), [("a".into(), 4), ("b".into(), 2)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_compacted_is_refused_and_another_is_not() {
    let ((log, proxy), memory) = (Log::behind_proxy(1).await, Memory::default());
    for policy in ["compact", "compact,delete"] {
        proxy.answers().cleanup_policy = Some(policy);
        let refused = Consumer::start(log.options_by(&proxy), memory.clone()).await.unwrap_err();
        assert!(matches!(refused, ConsumerError::Compacted(_)), "{refused}");
    }
    proxy.answers().cleanup_policy = Some("delete");
    let member = Consumer::start(log.options_by(&proxy), memory).await.unwrap();
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
