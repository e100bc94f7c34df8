//! A topic of a cluster within the process, and what is written to it and read from it.

use std::time::Duration;

use counter_stream::kafka::{Consumer, ConsumerOptions, OutOfRange, Stage, Status, UncountablePolicy};
use counter_stream::mapping::Mapping;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::memory::Memory;
use crate::proxy::Proxy;

pub(crate) const TOPIC: &str = "visits";
pub(crate) const LETTERS: &str = "letters";

/// Time that anything may take: the cluster alone waits for seconds until a group is complete.
const DEADLINE: Duration = Duration::from_secs(60);

/// Cluster with a topic.
pub(crate) struct Log {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(crate) brokers: String,
    directory: TempDir,
}

impl Log {
    pub(crate) fn with_partitions(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        cluster.create_topic(LETTERS, 1, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        Self { cluster, brokers, directory: TempDir::new().unwrap() }
    }

    /// Writes records with keys and values to a partition.
    pub(crate) async fn write(&self, partition: i32, records: &[(&str, &str)]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("enable.idempotence", "true");
        let producer: FutureProducer = config.create().unwrap();
        let mut deliveries = Vec::new();
        for (key, value) in records {
            let record = FutureRecord::to(TOPIC).partition(partition).key(*key).payload(*value);
            deliveries.push(producer.send_result(record).unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap().unwrap();
        }
    }

    /// Returns all records of a partition.
    pub(crate) async fn read(&self, topic: &str, partition: i32, records: usize) -> Vec<OwnedMessage> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("group.id", "reader");
        let (topic, consumer): (_, BaseConsumer) = (topic.to_owned(), config.create().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let mut read = Vec::new();
            while read.len() < records {
                read.push(consumer.poll(None).unwrap().unwrap().detach());
            }
            read
        });
        timeout(DEADLINE, reading).await.unwrap().unwrap()
    }

    pub(crate) fn options(&self) -> ConsumerOptions {
        ConsumerOptions {
            brokers: self.brokers.clone(),
            topic: TOPIC.into(),
            group: "counters".into(),
            mapping: Mapping { name: "key".parse().unwrap(), amount: "value".parse().unwrap() },
            generation: 0,
            uncountable: UncountablePolicy::Skip,
            missing: OutOfRange::Stop,
            // The cluster waits for a second less than that before it gives a member its partitions.
            session_timeout: Duration::from_millis(3_500),
            directory: self.directory.path().into(),
            settings: Vec::new(),
        }
    }

    /// Returns the topic as it is seen through a proxy.
    pub(crate) async fn behind_proxy(partitions: i32) -> (Self, Proxy) {
        let log = Self::with_partitions(partitions);
        let proxy = Proxy::start(log.brokers.clone()).await;
        (log, proxy)
    }

    /// Returns the options of a member that knows the brokers by their proxy.
    pub(crate) fn options_by(&self, proxy: &Proxy) -> ConsumerOptions {
        // What the proxy changes is to be seen soon.
        let settings = vec![("topic.metadata.refresh.interval.ms".into(), "100".into())];
        ConsumerOptions { brokers: proxy.address(), settings, ..self.options() }
    }

    pub(crate) async fn member(&self, memory: &Memory) -> Consumer {
        Consumer::start(self.options(), memory.clone()).await.unwrap()
    }
}

/// Waits until a member reports something.
pub(crate) async fn until(member: &Consumer, reached: impl FnMut(&Status) -> bool) -> Status {
    let mut status = member.status();
    let reached = timeout(DEADLINE, status.wait_for(reached)).await;
    reached.expect("the deadline").expect("the member lives").clone()
}

/// Returns the number of records of a partition that are counted durably.
pub(crate) fn counted(status: &Status, partition: i32) -> u64 {
    status.partitions.get(&partition).map_or(0, |partition| partition.committed)
}

/// Returns the reason why a partition has stopped, if it has.
pub(crate) fn stopped(status: &Status, partition: i32) -> Option<String> {
    match &status.partitions.get(&partition)?.stage {
        Stage::Stopped(reason) => Some(reason.clone()),
        Stage::Opening | Stage::Running | Stage::Releasing => None,
    }
}

/// Returns a header of a record as text.
pub(crate) fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let mut headers = message.headers()?.iter();
    let value = headers.find(|header| header.key == name)?.value?;
    Some(String::from_utf8(value.into()).unwrap())
}
