//! The assignment that librdkafka has been given, and the one that the group waits for.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;

/// Partitions of a topic that librdkafka reads. A partition is read once its node has taken it over, and given up once
/// its node has, which is later than the group asks for either.
pub(super) struct Assignment {
    consumer: Arc<BaseConsumer<Context>>,
    topic: String,
    /// Partitions that librdkafka reads.
    assigned: BTreeSet<i32>,
    /// Partitions of which the group waits until they are given up.
    revoking: Option<BTreeSet<i32>>,
}

impl Assignment {
    pub(super) fn new(consumer: Arc<BaseConsumer<Context>>, topic: &str) -> Self {
        Self { consumer, topic: topic.into(), assigned: BTreeSet::new(), revoking: None }
    }

    /// Accepts what the group assigns. It need not wait: each partition is read once it can be.
    pub(super) fn accept(&self) -> KafkaResult<()> {
        self.consumer.incremental_assign(&TopicPartitionList::new())
    }

    /// Begins to read a partition.
    pub(super) fn begin(&mut self, number: i32, offset: u64) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, number, kafka_offset(offset))?;
        self.consumer.incremental_assign(&list)?;
        self.assigned.insert(number);
        Ok(())
    }

    /// Ends reading a partition, unless the group waits for it: those are given up together.
    pub(super) fn end(&mut self, number: i32) -> KafkaResult<()> {
        let is_revoked = self.revoking.as_ref().is_some_and(|revoking| revoking.contains(&number));
        if !is_revoked && self.assigned.remove(&number) {
            self.consumer.incremental_unassign(&self.list([number]))?;
        }
        Ok(())
    }

    /// Notes that the group waits for partitions.
    pub(super) fn revoke(&mut self, partitions: BTreeSet<i32>) {
        self.revoking = Some(partitions);
    }

    /// Lets the group have the partitions that it waits for, once all of them are given up.
    pub(super) fn finish_revocation(&mut self, is_given_up: impl Fn(i32) -> bool) -> KafkaResult<()> {
        let Some(partitions) = self.revoking.take_if(|revoking| revoking.iter().copied().all(is_given_up))
        else {
            return Ok(());
        };
        let read = partitions.into_iter().filter(|number| self.assigned.remove(number)).collect::<Vec<_>>();
        self.consumer.incremental_unassign(&self.list(read))
    }

    /// Commits offsets for those who watch the group.
    pub(super) fn commit(&self, offsets: impl Iterator<Item = (i32, u64)>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (number, offset) in offsets {
            list.add_partition_offset(&self.topic, number, kafka_offset(offset))?;
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets not committed");
        }
        Ok(())
    }

    /// Ends reading all partitions.
    pub(super) fn close(&self) {
        let list = self.list(self.assigned.iter().copied());
        if (list.count() > 0 || self.revoking.is_some())
            && let Err(error) = self.consumer.incremental_unassign(&list)
        {
            tracing::warn!(%error, "failed to give partitions up in order");
        }
    }

    fn list(&self, partitions: impl IntoIterator<Item = i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for number in partitions {
            list.add_partition(&self.topic, number);
        }
        list
    }
}

fn kafka_offset(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}
