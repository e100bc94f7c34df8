//! Status of a member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kafka::identity::TopicIdentity;

/// Status of a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Topic and mapping, in words.
    pub counts: String,
    /// Partitions that the group has assigned to the member.
    pub partitions: BTreeMap<i32, PartitionStatus>,
    /// Number of partitions that were assigned to it so far, and taken away.
    pub assigned: u64,
    /// Number of partitions that were revoked so far.
    pub revoked: u64,
    /// Number of revoked ones that the group had given to others already.
    pub lost: u64,
}

/// Status of an assigned partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Stage of its life.
    pub stage: Stage,
    /// Offset of the next record to hand over.
    pub offset: u64,
    /// Offset up to which records are counted durably.
    pub committed: u64,
    /// End of the log, if a broker has said so.
    pub end: Option<u64>,
    /// Number of records handed over since it was assigned.
    pub records: u64,
    /// Number of those that could not be counted.
    pub skipped: u64,
}

/// Stage of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is being taken over.
    Opening,
    /// Its records are read.
    Running,
    /// It is being given up.
    Releasing,
    /// It is not read, for a reason that a person has to decide about.
    Stopped(String),
}

impl Status {
    pub(super) fn new(identity: &TopicIdentity) -> Self {
        Self { counts: identity.to_string(), partitions: BTreeMap::new(), assigned: 0, revoked: 0, lost: 0 }
    }

    /// Returns the number of records behind the ends of the logs, in partitions that are assigned.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let behind = |partition: &PartitionStatus| partition.end?.checked_sub(partition.committed);
        self.partitions.values().filter_map(behind).sum()
    }
}
