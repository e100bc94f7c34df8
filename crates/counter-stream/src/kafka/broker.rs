//! A connection to a broker, for what librdkafka's safe interface lacks.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, StrBytes, VersionRange, encode_request_header_into_buffer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Deadline of a request, its connection included.
const DEADLINE: Duration = Duration::from_secs(10);

/// Maximum length of a response. Those that are asked for have a few hundred bytes for each partition of a topic.
const MAX_RESPONSE_BYTES: u32 = 64 << 20;

/// Failure of a request to a broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The connection failed.
    #[error("connection to broker {address} failed")]
    Connection {
        /// Host and port of the broker.
        address: Box<str>,
        /// Reason.
        #[source]
        source: io::Error,
    },
    /// There was no response in time.
    #[error("no response from broker {0} in time")]
    Timeout(Box<str>),
    /// The response, or the request, cannot be read or written.
    #[error("unusable response from broker {address}: {reason}")]
    Protocol {
        /// Host and port of the broker.
        address: Box<str>,
        /// Reason.
        reason: Box<str>,
    },
    /// The broker does not know the request.
    #[error("broker {0} does not know {1:?}")]
    Unsupported(Box<str>, ApiKey),
    /// The broker refused the request.
    #[error("request to broker refused: {0}")]
    Refused(Box<str>),
}

/// Request that is asked here. The library's own trait of requests is for those who also answer them.
pub(super) trait Request: Message + Encodable {
    const KEY: ApiKey;
    /// Latest version whose fields are known here. Later ones may replace names of topics by their ids.
    const UP_TO: i16;
    type Response: Message + Decodable + HeaderVersion;
}

impl Request for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    const UP_TO: i16 = 0;
    type Response = ApiVersionsResponse;
}

impl Request for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    const UP_TO: i16 = 12;
    type Response = MetadataResponse;
}

impl Request for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    const UP_TO: i16 = 7;
    type Response = ListOffsetsResponse;
}

impl Request for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const UP_TO: i16 = 4;
    type Response = OffsetForLeaderEpochResponse;
}

impl Request for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    const UP_TO: i16 = 12;
    type Response = FetchResponse;
}

impl Request for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const UP_TO: i16 = 4;
    type Response = DescribeConfigsResponse;
}

/// Connection to a broker, with one request under way at a time.
#[derive(Debug)]
pub(super) struct Broker {
    address: Box<str>,
    stream: TcpStream,
    versions: HashMap<i16, VersionRange>,
    requests: i32,
}

impl Broker {
    pub(super) async fn connect(address: &str) -> Result<Self, BrokerError> {
        let connecting = async {
            let stream = TcpStream::connect(address).await;
            let stream =
                stream.map_err(|source| BrokerError::Connection { address: address.into(), source })?;
            let mut broker = Self { address: address.into(), stream, versions: HashMap::new(), requests: 0 };
            let known = broker.exchange(&ApiVersionsRequest::default(), ApiVersionsRequest::UP_TO).await?;
            let range =
                |api: ApiVersion| (api.api_key, VersionRange { min: api.min_version, max: api.max_version });
            broker.versions = known.api_keys.into_iter().map(range).collect();
            Ok(broker)
        };
        timeout(DEADLINE, connecting).await.unwrap_or_else(|_| Err(BrokerError::Timeout(address.into())))
    }

    /// Sends a request in the latest version that both sides know. A connection on which a request has failed is of no
    /// use any more.
    pub(super) async fn request<Q: Request>(&mut self, request: &Q) -> Result<Q::Response, BrokerError> {
        let ours = VersionRange { min: Q::VERSIONS.min, max: Q::UP_TO };
        let both = self.versions.get(&(Q::KEY as i16)).map(|theirs| theirs.intersect(&ours));
        let Some(both) = both.filter(|both| !both.is_empty()) else {
            return Err(BrokerError::Unsupported(self.address.clone(), Q::KEY));
        };
        match timeout(DEADLINE, self.exchange(request, both.max)).await {
            Ok(response) => response,
            Err(_) => Err(BrokerError::Timeout(self.address.clone())),
        }
    }

    async fn exchange<Q: Request>(&mut self, request: &Q, version: i16) -> Result<Q::Response, BrokerError> {
        self.requests += 1;
        let frame = encode(request, version, self.requests).map_err(|reason| self.unusable(&reason))?;
        let response = self.round_trip(&frame).await;
        let mut response =
            response.map_err(|source| BrokerError::Connection { address: self.address.clone(), source })?;
        let header = ResponseHeader::decode(&mut response, Q::Response::header_version(version));
        let correlation_id = header.map_err(|error| self.unusable(&error))?.correlation_id;
        if correlation_id != self.requests {
            return Err(self.unusable(&"response to another request"));
        }
        Q::Response::decode(&mut response, version).map_err(|error| self.unusable(&error))
    }

    async fn round_trip(&mut self, frame: &[u8]) -> io::Result<Bytes> {
        self.stream.write_all(frame).await?;
        let len_bytes = self.stream.read_u32().await?;
        if len_bytes > MAX_RESPONSE_BYTES {
            return Err(io::Error::other("response beyond the limit"));
        }
        let mut response = BytesMut::zeroed(usize::try_from(len_bytes).unwrap_or(usize::MAX));
        self.stream.read_exact(&mut response).await?;
        Ok(response.freeze())
    }

    fn unusable(&self, reason: &dyn std::fmt::Display) -> BrokerError {
        BrokerError::Protocol { address: self.address.clone(), reason: reason.to_string().into() }
    }
}

/// Encodes a request with its header and, in front of them, their length.
fn encode<Q: Request>(request: &Q, version: i16, correlation_id: i32) -> Result<Bytes, Box<str>> {
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("counter-stream")));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header).map_err(|error| error.to_string())?;
    request.encode(&mut body, version).map_err(|error| error.to_string())?;
    let len_bytes = u32::try_from(body.len()).map_err(|error| error.to_string())?;
    let mut frame = BytesMut::from(&len_bytes.to_be_bytes()[..]);
    frame.extend_from_slice(body.chunk());
    Ok(frame.freeze())
}
