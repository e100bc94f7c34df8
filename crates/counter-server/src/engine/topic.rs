//! A member of a group that counts a topic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use counter_store::StoreOptions;
use counter_stream::kafka::{Consumer, ConsumerError, ConsumerOptions};
use counter_stream::mapping::{AmountSource, Mapping, NameSource};
use counter_stream::producer::{DEFAULT_NAMES, Producer, ProducerOptions};
use counter_stream::{StreamNode, StreamOptions};
use ractor_transport::NodeName;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::counters::{Counters, TopicCounters};
use crate::peers::PeerOptions;

/// Time for brokers to say where the logs of all partitions end, at a start.
const ENDS_DEADLINE: Duration = Duration::from_secs(60);

/// Topic that a server counts, and how.
#[derive(Clone, Debug)]
pub struct TopicOptions {
    /// Name of this server, unique in its group.
    pub name: NodeName,
    /// Topic, group, mapping and directory.
    pub consumer: ConsumerOptions,
    /// Options of the store in the directory.
    pub store: StoreOptions,
    /// Time for an increment to be in the log and to be counted, before its answer says that it is not.
    pub deadline: Duration,
}

/// Member of a group, and the producer of its clients' increments.
#[derive(Debug)]
pub(crate) struct TopicEngine {
    node: Arc<StreamNode>,
    consumer: Mutex<Consumer>,
    producer: Option<Producer>,
}

impl TopicEngine {
    /// Starts to count from where the directory stands, and returns once it is known how far that is behind the log.
    pub(crate) async fn start(
        options: TopicOptions,
        peers: Option<&PeerOptions>,
    ) -> anyhow::Result<(Self, Counters)> {
        let TopicOptions { name, consumer: options, store, deadline } = options;
        let group = peers.map(PeerOptions::group_options).transpose()?;
        let dir = options.directory.clone();
        let started =
            StreamNode::start(StreamOptions { store, group, ..StreamOptions::new(name, dir.clone()) }).await;
        let node = Arc::new(started.with_context(|| dir.display().to_string())?);
        let producer = match records_increments(&options.mapping) {
            true => Some(Producer::start(producer_options(&options)).await?),
            false => None,
        };
        let consumer = Consumer::start(options, Arc::clone(&node)).await?;
        let log = consumer.log();
        timeout(ENDS_DEADLINE, log.seen()).await.context("brokers do not say where the log ends")?;
        let counters = TopicCounters::new(node.handle(), &consumer, producer.clone(), deadline);
        Ok((Self { node, consumer: consumer.into(), producer }, Counters::of_topic(counters)))
    }

    /// Leaves the group, and makes durable what was counted.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        if let Some(producer) = self.producer {
            producer.shutdown().await;
        }
        let left = self.consumer.into_inner().leave().await;
        let node = Arc::into_inner(self.node).context("member is still in use")?;
        node.shutdown().await?;
        Ok(left?)
    }

    /// Waits until the member has ended by itself.
    pub(crate) async fn ended(&self) -> ConsumerError {
        match self.consumer.lock().await.ended().await {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    }

    pub(crate) fn node_addr(&self) -> Option<SocketAddr> {
        self.node.local_addr()
    }
}

/// Returns true if the records of a producer count what they are meant to.
fn records_increments(mapping: &Mapping) -> bool {
    *mapping == Mapping { name: NameSource::Key, amount: AmountSource::Value }
}

fn producer_options(options: &ConsumerOptions) -> ProducerOptions {
    ProducerOptions {
        brokers: options.brokers.clone(),
        topic: options.topic.clone(),
        max_names: DEFAULT_NAMES,
        settings: options.settings.clone(),
    }
}
