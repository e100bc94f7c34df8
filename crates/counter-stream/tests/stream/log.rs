//! A log that can be read again from any offset.

use std::collections::BTreeMap;

use counter_stream::{Content, PartitionId, Record, Stamp, StreamHandle, Tallies, Total};

/// Returns one of the partitions of a topic.
pub(crate) fn partition(number: u32) -> PartitionId {
    PartitionId { cluster: "cluster".into(), topic: [7; 16], partition: number, mapping: 1 }
}

/// Returns a record. Some repeat earlier ones, some count nothing, and some sums need 128 bits.
pub(crate) fn record(partition: u32, offset: u64) -> Record<'static> {
    let number = offset * 7919 + u64::from(partition);
    let sequence = if number.is_multiple_of(5) { offset.saturating_sub(3) } else { offset };
    let stamp = Stamp { producer: [1; 16], sequence, base: 0 };
    let content = match number % 11 {
        0 => Content::Skipped,
        1 => Content::Count { name: b"huge"[..].into(), amount: i64::MAX, operations: 3, stamp: None },
        _ => {
            let name = format!("name {}", number % 100).into_bytes().into();
            Content::Count { name, amount: 1, operations: 1, stamp: Some(stamp) }
        }
    };
    Record { offset, leader_epoch: Some(0), content }
}

/// Checks that a member holds what the records of some partitions before an offset add up to.
pub(crate) async fn check(handle: &StreamHandle, partitions: u32, end: u64) {
    let mut expected = BTreeMap::<Vec<u8>, Total>::new();
    let mut tallies = Tallies::default();
    for partition in 0..partitions {
        let mut last = None;
        for offset in 0..end {
            let Content::Count { name, amount, operations, stamp } = record(partition, offset).content else {
                tallies.skipped += 1;
                continue;
            };
            if let Some(Stamp { sequence, .. }) = stamp {
                if Some(sequence) <= last {
                    tallies.duplicates += 1;
                    continue;
                }
                last = Some(sequence);
            }
            tallies.counted += 1;
            let sum = expected.entry(name.into()).or_default();
            *sum = sum.merge(Total { value: amount.into(), operations: operations.into() });
        }
    }
    let (mut scanned, mut cursor) = (BTreeMap::new(), Some(0));
    while let Some(from) = cursor {
        let (page, next) = handle.scan(from, 7, b"name").await.unwrap();
        scanned.extend(page.into_iter().map(|(name, total)| (Vec::from(name), total)));
        cursor = next;
    }
    let with_prefix = expected.iter().filter(|(name, _)| name.starts_with(b"name"));
    assert_eq!(scanned, with_prefix.map(|(name, total)| (name.clone(), *total)).collect());
    let counters = handle.top(usize::MAX).await.unwrap();
    assert_eq!(
        counters.into_iter().map(|(name, total)| (name.into(), total)).collect::<BTreeMap<_, _>>(),
        expected
    );
    assert_eq!(handle.totals().unwrap().tallies, tallies);
}
