//! The run without arguments: a cluster inside this process, two members, and a rebalance while they count.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use counter_keyspace::{Keyspace, KeyspaceOptions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::time::timeout;

use crate::member::{MemberHandle, Report};

const TOPIC: &str = "visits";
const PARTITIONS: i32 = 6;
/// Maximum number of records in flight to the brokers.
const ROUND: usize = 1_000;
/// Deadline; anything that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// Fails unless each key is counted exactly.
pub(crate) async fn rehearse(records: u64) -> Result<[Report; 2]> {
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
    // A member leaves only when the group is at rest: the mock cluster, unlike a real one, takes no offsets while
    // members join.
    for member in [&mut first, &mut second] {
        until(member, |report| !report.moves.is_empty()).await?;
    }
    let leaving = async {
        // About a third of what its partitions get.
        until(&mut first, |report| report.records >= records / 6).await?;
        first.leave().await
    };
    let (sent, first) = tokio::try_join!(produce(&brokers, records), leaving)?;
    until(&mut second, |report| report.moves.len() > 1 && first.records + report.records >= records).await?;
    let members = [first, second.leave().await?];

    let counted = keyspace.handle();
    let (mut lost, mut doubled) = (0, 0);
    for (key, &sent) in &sent {
        let counted = u64::try_from(counted.value(key).await?.unwrap_or_default())?;
        lost += sent.saturating_sub(counted);
        doubled += counted.saturating_sub(sent);
    }
    let operations = counted.stats().await?.total_operations;
    keyspace.shutdown().await;
    let committed = tokio::task::spawn_blocking(move || committed(&config)).await??;
    let [first, second] = &members;
    println!("{records} records of {} keys in {PARTITIONS} partitions", sent.len());
    println!("first member    {first}\nsecond member   {second}");
    println!("operations      {operations}\nlost            {lost}\ndoubled         {doubled}");
    println!("committed       {committed}");
    ensure!((lost, doubled) == (0, 0), "count exactly");
    ensure!(operations == records.into() && committed == i64::try_from(records)?, "commit what is counted");
    println!("exact: each key has the value that was sent, and each offset is committed");
    Ok(members)
}

async fn until(member: &mut MemberHandle, reached: impl FnMut(&Report) -> bool) -> Result<()> {
    let reached = timeout(DEADLINE, member.report.wait_for(reached)).await;
    reached.context("count in time")?.context("count: a member has ended")?;
    Ok(())
}

/// Sends records, and returns their number by key. The brokers have all of them when this returns.
async fn produce(brokers: &str, records: u64) -> Result<BTreeMap<String, u64>> {
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

/// Returns the sum of the offsets that the brokers have for the group. They began at 0.
fn committed(config: &ClientConfig) -> Result<i64> {
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
        let [first, second] = rehearse(6_000).await.unwrap();
        assert_eq!(first.records + second.records, 6_000);
        assert!(first.records >= 1_000 && second.records > 0, "both count");
        assert!(second.moves.len() > 2, "it takes what the first gives up: {:?}", second.moves);
    }
}
