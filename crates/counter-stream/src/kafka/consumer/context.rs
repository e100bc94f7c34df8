//! Callbacks of librdkafka.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

/// Decision of the group, to be carried out by the polling thread.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assigned(BTreeSet<i32>),
    Revoked {
        partitions: BTreeSet<i32>,
        /// The group gave them to others without waiting.
        lost: bool,
    },
}

/// Queue of rebalances, between librdkafka's callback and the loop that calls librdkafka: both on one thread.
#[derive(Debug, Default)]
pub(super) struct Context(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    rebalances: VecDeque<Rebalance>,
    /// Nobody takes rebalances any more, and all partitions are given up.
    closing: bool,
}

impl Context {
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.pending().rebalances.pop_front()
    }

    pub(super) fn close(&self) {
        self.pending().closing = true;
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(facility, "{message}"),
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::info!(%error, "librdkafka tries again: {reason}");
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let mut pending = self.pending();
        let partitions = partitions.elements().iter().map(|element| element.partition()).collect();
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            pending.rebalances.push_back(Rebalance::Assigned(partitions));
        } else if pending.closing {
            // The consumer waits for this call before it is closed.
            if let Err(error) = consumer.incremental_unassign(&TopicPartitionList::new()) {
                tracing::warn!(%error, "failed to close the consumer in order");
            }
        } else {
            let lost = consumer.assignment_lost();
            pending.rebalances.push_back(Rebalance::Revoked { partitions, lost });
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // Nothing depends on it, and the next one makes up for it.
            tracing::debug!(%error, "offsets not committed");
        }
    }
}
