//! Brokers that are gone for a while.

use std::time::Duration;

use counter_stream::producer::{DEFAULT_NAMES, Producer, ProducerOptions};
use tokio::time::sleep;

use crate::log::{Log, TOPIC, until};
use crate::memory::Memory;

/// More than four sessions of these members.
const OUTAGE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_gone_for_several_sessions_cost_nothing_that_is_produced_meanwhile() {
    const INCREMENTS: u64 = 1_000;
    let (log, memory) = (Log::with_partitions(4), Memory::default());
    let first = log.member(&memory).await;
    let second = log.member(&memory).await;
    let producer = Producer::start(ProducerOptions {
        brokers: log.brokers.clone(),
        topic: TOPIC.into(),
        max_names: DEFAULT_NAMES,
        settings: Vec::new(),
    });
    let producer = producer.await.unwrap();
    let produce = async |from| {
        for number in from..from + INCREMENTS {
            producer.increment(format!("name {}", number % 10).as_bytes(), 1).await.unwrap();
        }
    };
    produce(0).await;
    until(&second, |status| status.partitions.len() == 2).await;
    until(&first, |_| memory.operations() == INCREMENTS).await;
    log.cluster.broker_down(-1).unwrap();
    produce(INCREMENTS).await;
    sleep(OUTAGE).await;
    assert_eq!(memory.operations(), INCREMENTS);
    log.cluster.broker_up(-1).unwrap();
    produce(2 * INCREMENTS).await;
    producer.flush().await.unwrap();
    producer.shutdown().await;
    until(&first, |_| memory.operations() >= 3 * INCREMENTS).await;
    let expected = (0..10).map(|name| (format!("name {name}"), i128::from(3 * INCREMENTS / 10)));
    assert_eq!(memory.sums(), expected.collect());
    first.leave().await.unwrap();
    second.leave().await.unwrap();
}
