use std::sync::Arc;
use std::time::Duration;

use counter_store::Driver;
use counter_store::disk::MemoryDisk;
use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::assembly::{Assembled, Assemblies};
use super::exchange::Exchange;
use super::link::{Connection, Link};
use super::wire::{Request, chunks, decode_reply, decode_request, encode};
use crate::{Content, Fork, PartitionId, PartitionTable, Position, Record, StreamNode, StreamOptions};

fn id() -> PartitionId {
    PartitionId { cluster: "c".into(), topic: [1; 16], partition: 0, mapping: 1 }
}

fn record(offset: u64, name: &str) -> Record<'_> {
    let content = Content::Count { name: name.as_bytes().into(), amount: 1, operations: 1, stamp: None };
    Record { offset, leader_epoch: Some(0), content }
}

/// Way to a member of the same process, which loses every third request or its reply.
struct Lossy {
    exchange: Exchange,
    requests: std::sync::atomic::AtomicU64,
}

impl Connection for Lossy {
    async fn ask(&self, request: &[u8], _: Duration) -> Option<Vec<u8>> {
        let number = self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number % 6 == 2 {
            return None;
        }
        let reply = self.exchange.answer("sender".parse().unwrap(), request).await;
        reply.filter(|_| number % 6 != 5)
    }
}

struct Member {
    node: StreamNode,
    disk: Arc<MemoryDisk>,
}

impl Member {
    async fn start(disk: Arc<MemoryDisk>) -> Self {
        let mut options = StreamOptions::new("a".parse().unwrap(), "");
        options.store.driver = Driver::Task;
        options.store.segment_bytes = 64 * 1024;
        Self { node: StreamNode::start_on(disk.clone(), options).await.unwrap(), disk }
    }

    fn exchange(&self) -> Exchange {
        Exchange::new(self.node.partitions().clone(), self.node.commits().clone())
    }

    /// Gives a partition to another member from now on.
    async fn give_to(&self, other: &Self) -> JoinHandle<()> {
        let partition = self.node.partitions().get_or_start(&id()).await.unwrap();
        let connection = Lossy { exchange: other.exchange(), requests: 0.into() };
        tokio::spawn(Link { partition, connection }.run())
    }

    async fn read(&self, offsets: std::ops::Range<u64>) {
        let owned = self.node.own(id()).await.unwrap();
        for offset in offsets {
            owned.send(record(offset, &(offset % 100).to_string())).await.unwrap();
        }
        owned.release().await.unwrap();
    }

    async fn reaches(&self, offset: u64) -> Option<Fork> {
        let partition = self.node.partitions().get_or_start(&id()).await.unwrap();
        let mut status = partition.status.subscribe();
        let status = status.wait_for(|status| status.committed.offset >= offset || status.fork.is_some());
        status.await.unwrap().fork
    }
}

#[tokio::test(start_paused = true)]
async fn members_end_with_the_same_though_messages_and_members_are_lost() {
    let (a, b) = (
        Member::start(Arc::new(MemoryDisk::new(1))).await,
        Member::start(Arc::new(MemoryDisk::new(2))).await,
    );
    let links = [a.give_to(&b).await, b.give_to(&a).await];
    a.read(0..1_000).await;
    // What has been given up is given on, since nobody owns the partition.
    assert_eq!(b.reaches(1_000).await, None);
    // The successor goes on from what it holds, and the first one, which is killed, gets what it missed.
    links.iter().for_each(JoinHandle::abort);
    let disk = a.disk.clone();
    disk.restart_process();
    drop(a);
    let owned = b.node.own(id()).await.unwrap();
    assert_eq!(owned.position(), Position { offset: 1_000, leader_epoch: Some(0) });
    for offset in 1_000..1_500 {
        owned.send(record(offset, "later")).await.unwrap();
    }
    let a = Member::start(Arc::new(disk.copy(3))).await;
    let _links = [a.give_to(&b).await, b.give_to(&a).await];
    assert_eq!(a.reaches(1_500).await, None);
    let (partition_a, partition_b) =
        (a.node.partitions().get(&id()).unwrap(), b.node.partitions().get(&id()).unwrap());
    assert_eq!(partition_a.standing().await.unwrap(), partition_b.standing().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_counted_another_log_stops_the_partition() {
    let (a, b) = (
        Member::start(Arc::new(MemoryDisk::new(1))).await,
        Member::start(Arc::new(MemoryDisk::new(2))).await,
    );
    a.read(0..100).await;
    let owned = b.node.own(id()).await.unwrap();
    for offset in 0..100 {
        owned.send(record(offset, "other")).await.unwrap();
    }
    owned.release().await.unwrap();
    let _link = a.give_to(&b).await;
    assert_eq!(a.reaches(u64::MAX).await, Some(Fork::Counts { offset: 100 }));
}

/// A cut of many long names, and the chunks that it travels in.
fn many() -> (PartitionTable, crate::Cut) {
    let mut table = PartitionTable::new([1; 4]);
    for offset in 0..40 {
        table.count(record(offset, &format!("{offset}{}", "n".repeat(30_000)))).unwrap();
    }
    let cut = table.cut_from(0);
    (table, cut)
}

proptest! {
    #[test]
    fn a_cut_is_whole_or_not_there_whatever_becomes_of_its_chunks(
        arrivals in proptest::collection::vec((0..2_u8, 0..6_usize), 0..60),
    ) {
        let (_, cut) = many();
        let chunks: Vec<_> = chunks(&id(), &cut).collect();
        prop_assert!(chunks.len() > 3);
        let mut assemblies = Assemblies::new();
        let mut expected = [0; 2];
        for (sender, index) in arrivals {
            let index = index % chunks.len();
            let next = &mut expected[usize::from(sender)];
            let follows = index == 0 || index == *next;
            *next = if follows { index + 1 } else { 0 };
            let is_whole = *next == chunks.len();
            match assemblies.push(sender, chunks[index].clone()) {
                Assembled::Whole(whole) => {
                    prop_assert!(is_whole);
                    prop_assert_eq!(&whole, &cut);
                    *next = 0;
                }
                Assembled::Part => prop_assert!(follows && !is_whole),
                Assembled::Broken => prop_assert!(!follows),
            }
        }
    }

    #[test]
    fn garbage_is_refused_or_means_something_but_never_panics(bytes: Vec<u8>) {
        let _ = decode_request(&bytes);
        let _ = decode_reply(&bytes);
    }
}

#[test]
fn a_chunk_arrives_as_it_was_sent_and_fits_into_a_frame() {
    let (_, cut) = many();
    for chunk in chunks(&id(), &cut) {
        let request = Request::Chunk(Box::new(chunk));
        let bytes = encode(&request);
        assert!(bytes.len() < super::wire::MAX_FRAME_BYTES - 32 * 1024);
        assert_eq!(decode_request(&bytes), Some(request));
    }
}
