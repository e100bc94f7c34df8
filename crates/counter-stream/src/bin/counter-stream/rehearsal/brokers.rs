//! Brokers within this process: the cluster that is part of librdkafka, which speaks Kafka's protocol over sockets.

use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use tokio::sync::oneshot;

/// Number of brokers.
const BROKERS: i32 = 3;

/// Brokers, which end when this is dropped.
pub(crate) struct Brokers {
    addresses: String,
    /// The cluster stays on the thread that made it.
    _end: mpsc::Sender<()>,
}

impl Brokers {
    /// Starts brokers with a topic.
    pub(crate) async fn start(topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let (started, addresses) = oneshot::channel();
        let topic = topic.to_owned();
        let (_end, ended) = mpsc::channel::<()>();
        thread::Builder::new().name("brokers".into()).spawn(move || {
            let cluster = MockCluster::new(BROKERS).and_then(|cluster| {
                cluster.create_topic(&topic, partitions, BROKERS)?;
                Ok::<_, KafkaError>(cluster)
            });
            let _ = started.send(cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(Clone::clone));
            let _ = ended.recv();
        })?;
        Ok(Self { addresses: addresses.await.context("no brokers")??, _end })
    }

    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }
}
