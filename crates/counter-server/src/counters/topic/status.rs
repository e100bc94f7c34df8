//! Status of a topic, for operators.

use counter_stream::kafka::{Lag, Stage};
use serde::Serialize;
use tokio::time::Instant;

use super::TopicCounters;

/// Topic whose records are counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicStatus {
    /// Topic and mapping, in words.
    pub counts: String,
    /// Lag of all partitions together; `None` if that of one is not known.
    pub lag: Option<LagStatus>,
    /// Partitions, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// Distance between what is counted and the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LagStatus {
    /// Number of offsets.
    pub records: u64,
    /// Time since the log ended there.
    pub age_ms: u64,
}

/// Partition of a topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// Offset up to which its records are counted here.
    pub offset: u64,
    /// Offset up to which that is on disk here.
    pub committed: u64,
    /// End of the log; `None` if that is not known.
    pub end: Option<u64>,
    /// Number of offsets between what is counted and the end; `None` if that is not known, or no longer.
    pub lag: Option<u64>,
    /// True if this server reads the partition, and not another one of the group.
    pub is_owned: bool,
    /// Records that were counted.
    pub counted: u64,
    /// Records that could not be counted.
    pub skipped: u64,
    /// Records that were counted before.
    pub duplicates: u64,
    /// Records that came too late to know whether they were counted before.
    pub refused: u64,
    /// Why it is not read any more, if a person has to decide about it.
    pub stopped: Option<String>,
}

impl From<Lag> for LagStatus {
    fn from(Lag { records, age }: Lag) -> Self {
        Self { records, age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl TopicCounters {
    /// Returns what is known of the topic here.
    pub(crate) fn status(&self) -> TopicStatus {
        let (now, ends) = (Instant::now(), self.topic.log.ends());
        let stages = self.topic.status.borrow().partitions.clone();
        let known = self.topic.handle.partitions();
        let number = ends.as_ref().map_or(0, |ends| ends.ends.len());
        let partition = |partition: u32| {
            let status = known.get(&self.topic.identity.partition(partition)).copied().unwrap_or_default();
            let ends = ends.as_ref();
            let stage = i32::try_from(partition).ok().and_then(|partition| stages.get(&partition));
            let reason = stage.and_then(|status| match &status.stage {
                Stage::Stopped(reason) => Some(reason.clone()),
                Stage::Opening | Stage::Running | Stage::Releasing => None,
            });
            PartitionStatus {
                partition,
                offset: status.position.offset,
                committed: status.committed.offset,
                end: ends.and_then(|ends| ends.end_of(partition)),
                lag: ends
                    .and_then(|ends| ends.lag_of(partition, status.position.offset, now))
                    .map(|lag| lag.records),
                is_owned: status.is_owned,
                counted: status.tallies.counted,
                skipped: status.tallies.skipped,
                duplicates: status.tallies.duplicates,
                refused: status.tallies.refused,
                stopped: status.fork.map(|fork| fork.to_string()).or(reason),
            }
        };
        TopicStatus {
            counts: self.topic.identity.to_string(),
            lag: self.lag().map(LagStatus::from),
            partitions: (0..u32::try_from(number).unwrap_or(u32::MAX)).map(partition).collect(),
        }
    }
}
