//! A proxy in front of the only broker of a cluster, which changes some answers as another broker would give them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, DescribeConfigsResponse, FindCoordinatorResponse, MetadataResponse,
    OffsetForLeaderEpochResponse, ProduceResponse, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::log::TOPIC;

/// Changes to the broker's answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Number of partitions that the topic has.
    pub(crate) partitions: Option<usize>,
    /// Id of the topic, hyphenated.
    pub(crate) topic_id: Option<&'static str>,
    /// Where the log of every leader epoch ends that is asked for.
    pub(crate) epoch_end: Option<i64>,
    /// `cleanup.policy` of the topic, which the broker does not say.
    pub(crate) cleanup_policy: Option<&'static str>,
    /// Number of further records' acknowledgements that become errors: their code.
    pub(crate) refusals: VecDeque<i16>,
}

/// Proxy, which ends when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    answers: Arc<Mutex<Answers>>,
    task: AbortHandle,
}

/// Request under way: its kind and version.
type Asked = (i16, i16);

impl Proxy {
    pub(crate) async fn start(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::<Mutex<Answers>>::default();
        let known = answers.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (broker, answers) = (broker.clone(), known.clone());
                tokio::spawn(async move {
                    let Ok(upstream) = TcpStream::connect(broker).await else { return };
                    // Connections end in whatever manner.
                    let _ = forward(client, upstream, port, &answers).await;
                });
            }
        });
        Self { port, answers, task: task.abort_handle() }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    client: TcpStream,
    broker: TcpStream,
    port: u16,
    answers: &Mutex<Answers>,
) -> io::Result<()> {
    let ((mut requests, responses), (mut results, mut broker)) = (client.into_split(), broker.into_split());
    let (asked, responses) = (Mutex::new(VecDeque::<Asked>::new()), tokio::sync::Mutex::new(responses));
    let asking = async {
        loop {
            let frame = read(&mut requests).await?;
            let mut header = &frame[..];
            let (key, version, id) = (header.get_i16(), header.get_i16(), header.get_i32());
            if key == ApiKey::DescribeConfigs as i16 {
                // The only request on its connection at the time.
                let response = configs(id, version, answers.lock().unwrap().cleanup_policy);
                write(&mut *responses.lock().await, &response).await?;
            } else {
                asked.lock().unwrap().push_back((key, version));
                write(&mut broker, &frame).await?;
            }
        }
    };
    let answering = async {
        loop {
            let frame = read(&mut results).await?;
            let (key, version) = asked.lock().unwrap().pop_front().unwrap();
            let frame = changed(frame, key, version, port, &mut answers.lock().unwrap());
            write(&mut *responses.lock().await, &frame).await?;
        }
    };
    tokio::select! { ended = asking => ended, ended = answering => ended }
}

async fn read(stream: &mut OwnedReadHalf) -> io::Result<Bytes> {
    let len_bytes = stream.read_u32().await?;
    let mut frame = BytesMut::zeroed(usize::try_from(len_bytes).unwrap());
    stream.read_exact(&mut frame).await?;
    Ok(frame.freeze())
}

async fn write(stream: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    bytes.put_u32(u32::try_from(frame.len()).unwrap());
    bytes.put_slice(frame);
    stream.write_all(&bytes).await
}

/// Returns a response as the proxy gives it.
fn changed(frame: Bytes, key: i16, version: i16, port: u16, answers: &mut Answers) -> Bytes {
    match ApiKey::try_from(key) {
        // Later versions are refused by the cluster.
        Ok(ApiKey::ApiVersions) if version == 0 => {
            edit(frame, version, |response: &mut ApiVersionsResponse| {
                let configs =
                    ApiVersion::default().with_api_key(ApiKey::DescribeConfigs as i16).with_max_version(4);
                response.api_keys.push(configs);
            })
        }
        Ok(ApiKey::Metadata) => edit(frame, version, |response: &mut MetadataResponse| {
            for broker in &mut response.brokers {
                broker.port = port.into();
            }
            let is_meant =
                |topic: &&mut MetadataResponseTopic| topic.name.as_ref().is_some_and(|name| **name == *TOPIC);
            for topic in response.topics.iter_mut().filter(is_meant) {
                topic.topic_id = answers.topic_id.map_or(topic.topic_id, |id| id.parse().unwrap());
                topic.partitions.truncate(answers.partitions.unwrap_or(usize::MAX));
            }
        }),
        Ok(ApiKey::FindCoordinator) => edit(frame, version, |response: &mut FindCoordinatorResponse| {
            response.port = port.into();
        }),
        Ok(ApiKey::OffsetForLeaderEpoch) if answers.epoch_end.is_some() => {
            edit(frame, version, |response: &mut OffsetForLeaderEpochResponse| {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    partition.end_offset = answers.epoch_end.unwrap_or(partition.end_offset);
                }
            })
        }
        Ok(ApiKey::Produce) if !answers.refusals.is_empty() => {
            let code = answers.refusals.pop_front().unwrap_or_default();
            edit(frame, version, |response: &mut ProduceResponse| {
                for partition in
                    response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses)
                {
                    partition.error_code = code;
                }
            })
        }
        _ => frame,
    }
}

fn edit<R: Decodable + Encodable + HeaderVersion>(
    mut frame: Bytes,
    version: i16,
    change: impl FnOnce(&mut R),
) -> Bytes {
    let header = ResponseHeader::decode(&mut frame, R::header_version(version)).unwrap();
    let mut response = R::decode(&mut frame, version).unwrap();
    change(&mut response);
    encoded(&header, &response, version)
}

fn configs(correlation_id: i32, version: i16, policy: Option<&'static str>) -> Bytes {
    let config = |policy| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str("cleanup.policy"))
            .with_value(Some(StrBytes::from_static_str(policy)))
    };
    let result = DescribeConfigsResult::default().with_configs(policy.map(config).into_iter().collect());
    let response = DescribeConfigsResponse::default().with_results(vec![result]);
    encoded(&ResponseHeader::default().with_correlation_id(correlation_id), &response, version)
}

fn encoded<R: Encodable + HeaderVersion>(header: &ResponseHeader, response: &R, version: i16) -> Bytes {
    let mut frame = BytesMut::new();
    header.encode(&mut frame, R::header_version(version)).unwrap();
    response.encode(&mut frame, version).unwrap();
    frame.freeze()
}
