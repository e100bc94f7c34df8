//! The dead letter topic: records that cannot be counted.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::sleep;

/// Interval between attempts to send a letter.
const RETRY: Duration = Duration::from_millis(500);

/// Headers of a letter.
const REASON: &str = "counter-reason";
const TOPIC: &str = "counter-topic";
const ORIGINAL_KEY: &str = "counter-key";
const OMITTED: &str = "counter-value-omitted";

/// Record that cannot be counted, and why.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) topic_id: [u8; 16],
    pub(super) topic: Box<str>,
    pub(super) partition: i32,
    pub(super) offset: u64,
    pub(super) reason: String,
    pub(super) key: Option<Box<[u8]>>,
    pub(super) value: Option<Box<[u8]>>,
}

/// Reason why a letter cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("dead letter topic refuses records: {0}")]
pub struct LetterError(KafkaError);

/// Sends letters. Those of one partition arrive in any order, at least once.
#[derive(Clone)]
pub(super) struct Letters {
    topic: Box<str>,
    producer: FutureProducer,
}

impl Letters {
    pub(super) fn new(config: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        let mut config = config.clone();
        // Headers make a letter longer than its record, which may be as long as brokers allow: they have the last word.
        config.set("enable.idempotence", "true").set("message.max.bytes", "1000000000");
        Ok(Self { topic: topic.into(), producer: config.create()? })
    }

    /// Sends a letter, and returns once the broker has acknowledged it. Goes on trying while brokers cannot be reached.
    pub(super) async fn send(&self, letter: Letter) -> Result<(), LetterError> {
        // Whoever reads letters knows by the key which one came twice.
        let id = u128::from_be_bytes(letter.topic_id);
        let key = format!("{id:032x}/{}/{}", letter.partition, letter.offset);
        let mut headers = OwnedHeaders::new()
            .insert(Header { key: REASON, value: Some(&letter.reason) })
            .insert(Header { key: TOPIC, value: Some(&*letter.topic) });
        if let Some(key) = &letter.key {
            headers = headers.insert(Header { key: ORIGINAL_KEY, value: Some(key.as_ref()) });
        }
        let mut value = letter.value;
        loop {
            let mut record = FutureRecord::to(&self.topic).key(&key).headers(headers.clone());
            if let Some(value) = &value {
                record = record.payload(value.as_ref());
            }
            let Err((error, _)) = self.producer.send(record, RETRY).await else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) if value.is_some() => {
                    headers = headers.insert(Header { key: OMITTED, value: Some("too large") });
                    value = None;
                }
                Some(
                    RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::Fatal,
                ) => return Err(LetterError(error)),
                _ => {
                    tracing::warn!(%error, key, "dead letter not acknowledged; trying again");
                    sleep(RETRY).await;
                }
            }
        }
    }
}
