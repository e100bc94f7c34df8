//! Queries about a topic: its id, its leaders, where its logs begin and end, whether it is compacted.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeConfigsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::audit::LogBounds;
use super::broker::{Broker, BrokerError, Request};
use crate::record::Position;

/// Timestamps that stand for the beginning and the end of a log.
const BEGINNING: i64 = -2;
const END: i64 = -1;

/// Kind of a resource whose configuration is asked for.
const TOPIC: i8 = 2;
/// Id of a client that is no replica.
const CLIENT: BrokerId = BrokerId(-1);

/// Topic as its brokers see it at a moment.
#[derive(Clone, Debug)]
pub(super) struct TopicView {
    pub(super) cluster: Box<str>,
    /// Zero where the brokers give topics no ids.
    pub(super) id: [u8; 16],
    /// Number of partitions.
    pub(super) partitions: i32,
    pub(super) leaders: BTreeMap<i32, Leader>,
}

/// Leader of a partition.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    address: Box<str>,
    pub(super) epoch: Option<u32>,
}

/// Client of a topic's brokers, with a connection to each that was needed.
#[derive(Debug)]
pub(crate) struct TopicClient {
    bootstrap: Vec<Box<str>>,
    topic: Box<str>,
    connections: HashMap<Box<str>, Broker>,
}

impl TopicClient {
    /// Creates a client that knows some brokers, separated by commas.
    pub(crate) fn new(brokers: &str, topic: &str) -> Self {
        let bootstrap = brokers.split(',').map(|address| address.trim().into()).collect();
        Self { bootstrap, topic: topic.into(), connections: HashMap::new() }
    }

    pub(super) async fn view(&mut self) -> Result<TopicView, BrokerError> {
        let topic = MetadataRequestTopic::default().with_name(Some(self.topic_name()));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let response = self.ask_any(&request).await?;
        let addresses: HashMap<BrokerId, Box<str>> = response
            .brokers
            .iter()
            .map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port).into()))
            .collect();
        let topic = response.topics.into_iter().next();
        let topic = topic.ok_or_else(|| BrokerError::Refused("no topic in the response".into()))?;
        accept(topic.error_code)?;
        let leader = |id: BrokerId, epoch: i32| {
            Some(Leader { address: addresses.get(&id)?.clone(), epoch: u32::try_from(epoch).ok() })
        };
        let leaders = topic.partitions.iter().filter_map(|partition| {
            Some((partition.partition_index, leader(partition.leader_id, partition.leader_epoch)?))
        });
        Ok(TopicView {
            cluster: response.cluster_id.as_deref().unwrap_or_default().into(),
            id: topic.topic_id.into_bytes(),
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            leaders: leaders.collect(),
        })
    }

    /// Returns the ends of partitions' logs, as far as they can be read: before records of open transactions.
    pub(super) async fn ends(&mut self, view: &TopicView) -> Result<BTreeMap<i32, u64>, BrokerError> {
        let mut by_leader: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (partition, leader) in &view.leaders {
            by_leader.entry(&leader.address).or_default().push(*partition);
        }
        let mut ends = BTreeMap::new();
        for (address, partitions) in by_leader {
            ends.extend(self.offsets(address, &partitions, END, true).await?);
        }
        Ok(ends)
    }

    /// Returns the ends of the logs of all partitions, each of which has to have a leader.
    pub(crate) async fn partition_ends(&mut self) -> Result<Vec<u64>, BrokerError> {
        let view = self.view().await?;
        let ends = self.ends(&view).await?;
        let is_complete = !ends.is_empty() && ends.keys().copied().eq(0..view.partitions);
        let ends = is_complete.then(|| ends.into_values().collect());
        ends.ok_or_else(|| BrokerError::Refused("partition without a leader".into()))
    }

    /// Returns where the log of a partition begins and ends, also as seen from a position.
    pub(super) async fn bounds(
        &mut self,
        view: &TopicView,
        partition: i32,
        position: Position,
    ) -> Result<LogBounds, BrokerError> {
        let leader = view.leaders.get(&partition);
        let address =
            &leader.ok_or_else(|| BrokerError::Refused("partition without a leader".into()))?.address;
        let mut offset = async |timestamp| {
            let offsets = self.offsets(address, &[partition], timestamp, false).await?;
            let offset = offsets.get(&partition).copied();
            offset.ok_or_else(|| BrokerError::Refused("no offset in the response".into()))
        };
        let (begin, mut end) = (offset(BEGINNING).await?, offset(END).await?);
        // Some brokers (tansu) take the beginning of the last batch for the end: what can be read is beyond doubt.
        if end < position.offset && self.is_readable(address, partition, position.offset).await? {
            end = position.offset;
        }
        let epoch_end = match position.leader_epoch {
            Some(epoch) if position.offset > 0 => self.epoch_end(address, partition, epoch).await?,
            Some(_) | None => None,
        };
        Ok(LogBounds { begin, end, epoch_end })
    }

    /// Returns whether the topic is compacted; `None` where brokers do not say.
    pub(super) async fn is_compacted(&mut self) -> Result<Option<bool>, BrokerError> {
        const POLICY: &str = "cleanup.policy";
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(self.topic_name().0)
            // All of them: tansu closes the connection if some are named.
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let response = match self.ask_any(&request).await {
            Ok(response) => response,
            Err(BrokerError::Unsupported(..)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut configs = response.results.iter().flat_map(|result| &result.configs);
        let policy = configs.find(|config| config.name == *POLICY).and_then(|config| config.value.as_deref());
        Ok(policy.map(|policy| policy.contains("compact")))
    }

    async fn offsets(
        &mut self,
        address: &str,
        partitions: &[i32],
        timestamp: i64,
        only_committed: bool,
    ) -> Result<BTreeMap<i32, u64>, BrokerError> {
        let partition = |index: &i32| {
            ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp)
        };
        let topic = ListOffsetsTopic::default()
            .with_name(self.topic_name())
            .with_partitions(partitions.iter().map(partition).collect());
        let request = ListOffsetsRequest::default()
            .with_replica_id(CLIENT)
            .with_isolation_level(i8::from(only_committed))
            .with_topics(vec![topic]);
        let response = self.ask(address, &request).await?;
        let mut offsets = BTreeMap::new();
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            accept(partition.error_code)?;
            if let Ok(offset) = u64::try_from(partition.offset) {
                offsets.insert(partition.partition_index, offset);
            }
        }
        Ok(offsets)
    }

    /// Returns whether a partition can be read from an offset, be it at the end.
    async fn is_readable(&mut self, address: &str, partition: i32, offset: u64) -> Result<bool, BrokerError> {
        let partition = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(i64::try_from(offset).unwrap_or(i64::MAX))
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1);
        let topic = FetchTopic::default().with_topic(self.topic_name()).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(CLIENT)
            .with_max_bytes(1)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let response = self.ask(address, &request).await?;
        accept(response.error_code)?;
        let partition = response.responses.iter().flat_map(|topic| &topic.partitions).next();
        match partition.map(|partition| partition.error_code) {
            Some(code) if code == ResponseError::OffsetOutOfRange.code() => Ok(false),
            Some(code) => accept(code).map(|()| true),
            None => Err(BrokerError::Refused("no partition in the response".into())),
        }
    }

    async fn epoch_end(
        &mut self,
        address: &str,
        partition: i32,
        epoch: u32,
    ) -> Result<Option<u64>, BrokerError> {
        let epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
        let partition = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_leader_epoch(epoch);
        let topic =
            OffsetForLeaderTopic::default().with_topic(self.topic_name()).with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_replica_id(CLIENT).with_topics(vec![topic]);
        let response = match self.ask(address, &request).await {
            Ok(response) => response,
            Err(BrokerError::Unsupported(..)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(end) = response.topics.iter().flat_map(|topic| &topic.partitions).next() else {
            return Ok(None);
        };
        accept(end.error_code)?;
        Ok(u64::try_from(end.end_offset).ok())
    }

    /// Asks whichever of the known brokers answers first, in their order.
    async fn ask_any<Q: Request>(&mut self, request: &Q) -> Result<Q::Response, BrokerError> {
        let mut failure = BrokerError::Refused("no broker is known".into());
        for address in self.bootstrap.clone() {
            match self.ask(&address, request).await {
                Err(error) => failure = error,
                answered => return answered,
            }
        }
        Err(failure)
    }

    async fn ask<Q: Request>(&mut self, address: &str, request: &Q) -> Result<Q::Response, BrokerError> {
        // A connection goes back only if the request has not failed.
        let mut broker = match self.connections.remove(address) {
            Some(broker) => broker,
            None => Broker::connect(address).await?,
        };
        let answered = broker.request(request).await;
        if matches!(answered, Ok(_) | Err(BrokerError::Unsupported(..))) {
            self.connections.insert(address.into(), broker);
        }
        answered
    }

    fn topic_name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.topic.to_string()))
    }
}

fn accept(error_code: i16) -> Result<(), BrokerError> {
    match ResponseError::try_from_code(error_code) {
        None => Ok(()),
        Some(error) => Err(BrokerError::Refused(error.to_string().into())),
    }
}
