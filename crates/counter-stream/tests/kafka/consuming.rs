use counter_stream::Position;

use crate::log::{Log, counted, until};
use crate::memory::Memory;

const PARTITIONS: i32 = 4;

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
