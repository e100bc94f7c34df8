//! A partition that the group has assigned, from its start to its end.

use tokio::task::AbortHandle;

use super::partition::Partition;
use super::status::{PartitionStatus, Stage};
use crate::kafka::owner::Destination;

/// State of an assigned partition.
pub(super) enum Slot<P> {
    /// A task with this number takes it over.
    Opening { serial: u64, task: AbortHandle },
    /// It is read.
    Running(Box<Partition<P>>),
    /// A task with this number gives it up. Then it is opened again, if that is wanted.
    Releasing { serial: u64, again: bool },
    /// It is not read until a person has decided, or it is revoked.
    Stopped { reason: String, last: Option<PartitionStatus> },
}

impl<P: Destination> Slot<P> {
    pub(super) fn status(&self) -> PartitionStatus {
        let without =
            |stage| PartitionStatus { stage, offset: 0, committed: 0, end: None, records: 0, skipped: 0 };
        match self {
            Self::Opening { .. } => without(Stage::Opening),
            Self::Releasing { .. } => without(Stage::Releasing),
            Self::Running(partition) => partition.status(),
            Self::Stopped { reason, last } => {
                let stage = Stage::Stopped(reason.clone());
                last.clone().map_or_else(
                    || without(stage.clone()),
                    |last| PartitionStatus { stage: stage.clone(), ..last },
                )
            }
        }
    }
}
