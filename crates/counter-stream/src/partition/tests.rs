use std::sync::Arc;

use counter_store::disk::MemoryDisk;

use crate::{Content, PartitionId, Record, SendError, StreamNode, StreamOptions, Total};

fn id(partition: u32) -> PartitionId {
    PartitionId { cluster: "c".into(), topic: [1; 16], partition, mapping: 1 }
}

fn record(offset: u64, name: &str) -> Record<'_> {
    let content = Content::Count { name: name.as_bytes().into(), amount: 2, operations: 1, stamp: None };
    Record { offset, leader_epoch: None, content }
}

async fn member(disk: &Arc<MemoryDisk>) -> StreamNode {
    StreamNode::start_on(disk.clone(), StreamOptions::new("a".parse().unwrap(), "")).await.unwrap()
}

#[tokio::test]
async fn an_actor_that_is_killed_again_and_again_counts_each_record_once() {
    const RECORDS: u64 = 20_000;
    let disk = Arc::new(MemoryDisk::new(1));
    let node = member(&disk).await;
    let owned = node.own(id(0)).await.unwrap();
    for offset in 0..RECORDS {
        owned.send(record(offset, &(offset % 7).to_string())).await.unwrap();
        if offset % 4_000 == 3_999 {
            owned.partition().outbox.actor().unwrap().kill();
        }
    }
    assert_eq!(owned.release().await.unwrap().offset, RECORDS);
    let totals = node.handle().totals().unwrap();
    assert_eq!((totals.names, totals.total.operations, totals.tallies.counted), (7, RECORDS.into(), RECORDS));
    node.shutdown().await.unwrap();

    let node = member(&disk).await;
    assert_eq!(node.handle().totals().unwrap(), totals);
    assert_eq!(node.own(id(0)).await.unwrap().position().offset, RECORDS);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_value_is_the_sum_over_all_partitions() {
    let node = member(&Arc::new(MemoryDisk::new(1))).await;
    for partition in 0..3 {
        let owned = node.own(id(partition)).await.unwrap();
        for offset in 0..=u64::from(partition) {
            owned.send(record(offset, "hits")).await.unwrap();
        }
        owned.send(record(9, &format!("only {partition}"))).await.unwrap();
        owned.release().await.unwrap();
    }
    let handle = node.handle();
    let hits = Total { value: 12, operations: 6 };
    assert_eq!(handle.value("hits").await.unwrap(), Some(hits));
    assert_eq!(handle.value("misses").await.unwrap(), None);
    let only =
        |partition: u32| (format!("only {partition}").into_bytes().into(), Total { value: 2, operations: 1 });
    let top = vec![(b"hits"[..].into(), hits), only(0), only(1)];
    assert_eq!(handle.top(3).await.unwrap(), top);
    let statuses = handle.partitions();
    assert!(statuses.values().all(|status| status.position.offset == 10 && !status.is_owned));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_partition_has_one_owner_in_a_process_and_a_stopped_one_none() {
    let node = member(&Arc::new(MemoryDisk::new(1))).await;
    let owned = node.own(id(0)).await.unwrap();
    assert!(node.own(id(0)).await.is_err());
    drop(owned);
    let owned = node.own(id(0)).await.unwrap();
    let with_epoch = |offset, epoch| Record { leader_epoch: Some(epoch), ..record(offset, "hits") };
    owned.send(with_epoch(0, 2)).await.unwrap();
    owned.send(with_epoch(1, 1)).await.unwrap();
    // The log was truncated: the partition stops where it was.
    let error = node.handle().wait_for(&id(0), 2).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition c/01010101010101010101010101010101/0@0000000000000001 has stopped"
    );
    assert!(matches!(owned.try_send(with_epoch(2, 3)), Err(SendError::Forked(_))));
    assert_eq!(owned.status().position.offset, 1);
    assert!(node.handle().value("hits").await.is_err());
    assert!(owned.release().await.is_err());
    assert!(node.own(id(0)).await.is_err());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_records_of_a_partition_are_in_one_column_only() {
    let disk = Arc::new(MemoryDisk::new(1));
    let other = PartitionId { mapping: 2, ..id(0) };
    let node = member(&disk).await;
    let owned = node.own(id(0)).await.unwrap();
    owned.send(record(0, "hits")).await.unwrap();
    owned.release().await.unwrap();
    assert!(node.own(other.clone()).await.is_err());
    node.shutdown().await.unwrap();
    let node = member(&disk).await;
    assert!(node.own(other).await.is_err());
    assert_eq!(node.handle().value("hits").await.unwrap().unwrap().operations, 1);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_source_that_is_faster_than_the_actor_is_told_to_pause() {
    let node = member(&Arc::new(MemoryDisk::new(1))).await;
    let owned = node.own(id(0)).await.unwrap();
    let mut refused = None;
    // Nothing is awaited, so the actor does not run meanwhile.
    for offset in 0.. {
        if let Err(SendError::Full(record)) = owned.try_send(record(offset, "hits")) {
            refused = Some(record);
            break;
        }
    }
    let refused = refused.unwrap();
    let waiting = crate::RECORDS_WAITING.get() as u64;
    assert_eq!(refused.offset, waiting);
    owned.send(refused).await.unwrap();
    assert_eq!(owned.release().await.unwrap().offset, waiting + 1);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn committed_positions_and_lag_follow_by_themselves() {
    let node = member(&Arc::new(MemoryDisk::new(1))).await;
    let owned = node.own(id(0)).await.unwrap();
    let mut committed = owned.committed();
    owned.send(record(5, "hits")).await.unwrap();
    assert_eq!(owned.status().lag(), None);
    owned.note_end(8);
    assert_eq!(committed.wait_for(|position| position.offset > 0).await.unwrap().offset, 6);
    assert_eq!(owned.status().lag(), Some(2));
    drop(owned);
    node.shutdown().await.unwrap();
}
