//! The run without arguments: a cluster inside this process, two members, and a rebalance while they count.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use counter_keyspace::{Keyspace, KeyspaceOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::time::timeout;

use crate::member::{MemberHandle, Report};

const TOPIC: &str = "visits";
pub(crate) const PARTITIONS: i32 = 6;
/// How many records are under way to the brokers at most.
const ROUND: usize = 1_000;
/// Something is wrong with whatever takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Outcome {
    pub(crate) members: [Report; 2],
    pub(crate) operations: u128,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// The sum of the offsets that the brokers have at the end; a new topic's offsets begin at 0.
    pub(crate) committed: i64,
}

pub(crate) async fn rehearse(records: u64) -> anyhow::Result<Outcome> {
    let cluster = MockCluster::new(3)?;
    cluster.create_topic(TOPIC, PARTITIONS, 3)?;
    let brokers = cluster.bootstrap_servers();
    let mut config = crate::settings(&brokers, "counters");
    // The mock cluster waits 3 seconds for the first members, and a session that is shorter ends meanwhile. Later it
    // waits for a second less than a session.
    config.set("session.timeout.ms", "3500").set("heartbeat.interval.ms", "100");
    let keyspace = Keyspace::start(KeyspaceOptions::default()).await?;
    let mut first = MemberHandle::join(&config, TOPIC, keyspace.handle()).await?;
    let mut second = MemberHandle::join(&config, TOPIC, keyspace.handle()).await?;
    let sent = produce(&brokers, records).await?;
    // That is about a third of what its partitions have; librdkafka has more of it at hand.
    until(&mut first, records / 6).await?;
    let first = first.leave().await?;
    until(&mut second, records - first.records).await?;
    let members = [first, second.leave().await?];

    let counted = keyspace.handle();
    let (mut lost, mut doubled) = (0, 0);
    for (key, sent) in sent {
        let counted = u64::try_from(counted.value(key).await?.unwrap_or_default())?;
        lost += sent.saturating_sub(counted);
        doubled += counted.saturating_sub(sent);
    }
    let operations = counted.stats().await?.total_operations;
    keyspace.shutdown().await;
    let committed = tokio::task::spawn_blocking(move || committed(&config)).await??;
    Ok(Outcome { members, operations, lost, doubled, committed })
}

async fn until(member: &mut MemberHandle, records: u64) -> anyhow::Result<()> {
    let reached = member.report.wait_for(|report| report.records >= records);
    timeout(DEADLINE, reached).await.context("count in time")?.context("count: the member has ended")?;
    Ok(())
}

/// How many records of each key were sent. The brokers have all of them when this returns.
async fn produce(brokers: &str, records: u64) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true");
    let producer: FutureProducer = config.create()?;
    let (mut sent, mut numbers) = (BTreeMap::new(), 0..records);
    while !numbers.is_empty() {
        let mut deliveries = Vec::new();
        for number in numbers.by_ref().take(ROUND) {
            // Each key gets two more than the one before it, so that no key can pass for another.
            let key = format!("page {}", number.isqrt());
            let record = FutureRecord::<_, ()>::to(TOPIC).key(&key);
            deliveries.push(producer.send_result(record).map_err(|(error, _)| error)?);
            *sent.entry(key).or_default() += 1;
        }
        for delivery in deliveries {
            delivery.await?.map_err(|(error, _)| error)?;
        }
    }
    Ok(sent)
}

fn committed(config: &ClientConfig) -> anyhow::Result<i64> {
    let consumer: BaseConsumer = config.create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(TOPIC, 0, PARTITIONS - 1);
    let committed = consumer.committed_offsets(partitions, DEADLINE)?;
    Ok(committed.elements().iter().filter_map(|partition| partition.offset().to_raw()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rebalance_while_records_are_counted_loses_and_doubles_nothing() {
        let Outcome { members: [first, second], operations, lost, doubled, committed } =
            rehearse(6_000).await.unwrap();
        assert_eq!((lost, doubled, operations, committed), (0, 0, 6_000, 6_000));
        assert_eq!(first.records + second.records, 6_000);
        assert_eq!(
            (first.moves.len(), second.moves.len()),
            (2, 3),
            "what the first gave up, the second took"
        );
    }
}
