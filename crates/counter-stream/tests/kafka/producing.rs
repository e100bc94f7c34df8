use counter_stream::producer::{DEFAULT_NAMES, Increment, Producer, ProducerError, ProducerOptions};
use rdkafka::Message;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::log::{Log, TOPIC, counted, until};
use crate::memory::Memory;

const PARTITIONS: i32 = 3;

fn options(log: &Log) -> ProducerOptions {
    options_of(log.brokers.clone())
}

/// Tries again without delay.
fn options_of(brokers: String) -> ProducerOptions {
    let settings = ["retry.backoff.ms", "reconnect.backoff.ms"].map(|name| (name.into(), "10".into()));
    ProducerOptions { brokers, topic: TOPIC.into(), max_names: DEFAULT_NAMES, settings: settings.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_are_folded_into_few_records_and_count_exactly() {
    const INCREMENTS: u64 = 100_000;
    const NAMES: u64 = 10;
    let (log, memory) = (Log::with_partitions(PARTITIONS), Memory::default());
    let member = log.member(&memory).await;
    let producer = Producer::start(options(&log)).await.unwrap();
    for number in 0..INCREMENTS {
        producer.increment(format!("name {}", number % NAMES).as_bytes(), 2).await.unwrap();
    }
    let produced = producer.flush().await.unwrap();
    assert_eq!(produced.operations, INCREMENTS);
    assert!(produced.records < INCREMENTS / 10, "{} records", produced.records);
    producer.shutdown().await;
    until(&member, |_| memory.operations() == INCREMENTS).await;
    let expected = (0..NAMES).map(|name| (format!("name {name}"), i128::from(2 * INCREMENTS / NAMES)));
    assert_eq!(memory.sums(), expected.collect());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_brokers_reject_for_a_while_or_drop_with_the_connection_count_once() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    let member = log.member(&memory).await;
    let producer = Producer::start(options(&log)).await.unwrap();
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    for round in 0..10_u8 {
        log.cluster.request_errors(RDKafkaApiKey::Produce, &errors[..usize::from(round % 5)]);
        producer.increment(&[b'a' + round % 3], 1).await.unwrap();
        producer.flush().await.unwrap();
    }
    producer.shutdown().await;
    until(&member, |_| memory.operations() >= 10).await;
    assert_eq!(memory.sums(), [("a".into(), 4), ("b".into(), 3), ("c".into(), 3)].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_in_the_log_twice_because_their_producer_did_not_hear_of_it_count_once() {
    const ROUNDS: u64 = 12;
    let ((log, proxy), memory) = (Log::behind_proxy(1).await, Memory::default());
    let producer = Producer::start(options_of(proxy.address())).await.unwrap();
    // After the first, librdkafka sends again; after the second, the producer begins a new session with the brokers.
    let refusals = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
    ];
    let mut repetitions = 0;
    for round in 0..ROUNDS {
        let refused = &refusals[..usize::try_from(round % 3).unwrap()];
        proxy.answers().refusals =
            refused.iter().map(|error| i16::try_from(*error as i32).unwrap()).collect();
        repetitions += refused.len() as u64;
        producer.increment(b"a", 1).await.unwrap();
        producer.flush().await.unwrap();
        assert!(proxy.answers().refusals.is_empty());
    }
    producer.shutdown().await;
    let member = log.member(&memory).await;
    let status = until(&member, |status| counted(status, 0) == ROUNDS + repetitions).await;
    assert_eq!(status.partitions[&0].records, ROUNDS + repetitions);
    assert_eq!(memory.sums(), [("a".into(), i128::from(ROUNDS))].into());
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_flushed_is_before_the_position_of_its_name() {
    let log = Log::with_partitions(PARTITIONS);
    let producer = Producer::start(options(&log)).await.unwrap();
    let names = [&b"a"[..], b"b", b"c", b"d", b"e"];
    assert!(names.iter().all(|name| producer.position(name).1 == 0));
    let increments = names.map(|name| Increment { name, amount: 1 });
    producer.try_increment(&increments).unwrap();
    let produced = producer.flush().await.unwrap();
    assert_eq!(produced.ends.iter().sum::<u64>(), names.len() as u64);
    for name in names {
        let (partition, end) = producer.position(name);
        assert_eq!(end, produced.ends[usize::try_from(partition).unwrap()]);
        let end = usize::try_from(end).unwrap();
        let records = log.read(TOPIC, i32::try_from(partition).unwrap(), end).await;
        assert!(records.iter().any(|record| record.key() == Some(name)));
    }
    producer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_too_long_is_refused() {
    let log = Log::with_partitions(1);
    let producer = Producer::start(options(&log)).await.unwrap();
    let refused = producer.increment(&vec![b'x'; 65 * 1024], 1).await;
    assert!(matches!(refused, Err(ProducerError::Name(_))));
    producer.shutdown().await;
}
