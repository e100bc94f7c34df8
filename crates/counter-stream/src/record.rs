//! Partitions, their records, and positions in them.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Identity of a partition's column.
///
/// Two columns are the same only if the same records would count the same in both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// Id of the Kafka cluster.
    pub cluster: Box<str>,
    /// Id of the topic, which a topic that is deleted and created again does not keep.
    pub topic: [u8; 16],
    /// Number of the partition.
    pub partition: u32,
    /// Fingerprint of how records are mapped to counts.
    pub mapping: u64,
}

/// Record of a partition, as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset in the partition.
    pub offset: u64,
    /// Epoch of the leader that wrote it, where the broker says so.
    pub leader_epoch: Option<u32>,
    /// Content that is counted.
    pub content: Content<'a>,
}

/// Content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Adds to a counter.
    Count {
        /// Name of the counter.
        name: Cow<'a, [u8]>,
        /// Amount to add.
        amount: i64,
        /// Number of operations that the amount consists of.
        operations: u64,
        /// Identifies the record among its producer's, so that a repetition is recognized.
        stamp: Option<Stamp>,
    },
    /// Counts nothing: it cannot be counted, and is skipped or in the dead letter topic.
    Skipped,
}

/// Number of a record among those of its producer for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Id of the producer.
    pub producer: [u8; 16],
    /// Number of the record, greater than those of all earlier ones.
    pub sequence: u64,
    /// End offset of the partition that the producer knew at its first attempt to send the record.
    pub base: u64,
}

/// Position in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Offset of the next record.
    pub offset: u64,
    /// Epoch of the leader that wrote the record before it, where the broker says so.
    pub leader_epoch: Option<u32>,
}

impl Record<'_> {
    /// Returns the same record with a name of its own.
    #[must_use]
    pub fn into_owned(self) -> Record<'static> {
        let Self { offset, leader_epoch, content } = self;
        let content = match content {
            Content::Skipped => Content::Skipped,
            Content::Count { name, amount, operations, stamp } => {
                Content::Count { name: name.into_owned().into(), amount, operations, stamp }
            }
        };
        Record { offset, leader_epoch, content }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.cluster)?;
        self.topic.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "/{}@{:016x}", self.partition, self.mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_written_on_one_line() {
        let partition = PartitionId { cluster: "c".into(), topic: [0xab; 16], partition: 3, mapping: 9 };
        assert_eq!(partition.to_string(), "c/abababababababababababababababab/3@0000000000000009");
    }
}
