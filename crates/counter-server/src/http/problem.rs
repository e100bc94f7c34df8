//! Errors as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::counter::json;
use super::log::with_positions;
use crate::counters::{CountersError, Positions};

/// Seconds after which a client may try again while the server starts or ends.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Name of the kind of problem, for programs.
    kind: &'static str,
    /// Title that all problems of this kind have, for people.
    title: &'static str,
    detail: String,
    /// Positions in the log of what is not counted yet, which is no failure.
    positions: Option<Positions>,
}

/// Problem as JSON.
#[derive(Debug, Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), positions: None }
    }

    /// The request is not understood.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "Invalid request", detail)
    }

    pub(crate) fn no_such_resource() -> Self {
        let detail = "nothing is served at this path; see /openapi.json";
        Self::new(StatusCode::NOT_FOUND, "no-such-resource", "No such resource", detail)
    }

    pub(crate) fn no_such_counter() -> Self {
        let detail = "there is no counter of this name";
        Self::new(StatusCode::NOT_FOUND, "no-such-counter", "No such counter", detail)
    }

    pub(crate) fn no_cluster() -> Self {
        let detail = "the server is no node of a cluster";
        Self::new(StatusCode::NOT_FOUND, "no-cluster", "No cluster", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "the methods of this resource are in the header Allow";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    /// The server demands a token that the client does not have.
    pub(crate) fn no_access(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no-access", "No access", detail)
    }

    /// The client's token does not allow changes.
    pub(crate) fn read_only() -> Self {
        Self::new(StatusCode::FORBIDDEN, "read-only", "Forbidden", "the token is for reading only")
    }

    /// A page of another site asks a browser to change something.
    pub(crate) fn other_site() -> Self {
        let detail = "the request comes from a page of another site";
        Self::new(StatusCode::FORBIDDEN, "other-site", "Forbidden", detail)
    }

    pub(crate) fn too_slow() -> Self {
        let detail = "the body of the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "Too slow", detail)
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body of the request is longer than {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail)
    }

    pub(crate) fn unsupported_media_type(supported: &str) -> Self {
        let detail = format!("the body of the request has to be {supported}");
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Unsupported media type",
            detail,
        )
    }

    /// The value is beyond 64 bits, which only sums of other nodes or of a topic can be.
    pub(crate) fn beyond_64_bits() -> Self {
        let detail = "the value of the counter is beyond 64 bits; what was added to it is counted";
        Self::new(StatusCode::CONFLICT, "beyond-64-bits", "Beyond 64 bits", detail)
    }

    /// The value would leave the range of 64 bits.
    pub(crate) fn out_of_range(value: i64) -> Self {
        let detail = format!("the value would leave the range of 64 bits; it stays {value}");
        Self::new(StatusCode::CONFLICT, "out-of-range", "Out of range", detail)
    }

    /// Returns the problem as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let Self { status, kind, title, detail, .. } = self;
        let r#type = format!("urn:problem-type:counter:{kind}");
        serde_json::json!(ProblemBody { r#type, title, status: status.as_u16(), detail })
    }
}

impl From<CountersError> for Problem {
    fn from(error: CountersError) -> Self {
        let (status, kind, title) = match error {
            CountersError::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading", "Loading"),
            CountersError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped", "Stopped"),
            CountersError::DiskFailed => (StatusCode::SERVICE_UNAVAILABLE, "disk-failed", "Disk failed"),
            CountersError::NameTooLong(_) => (StatusCode::BAD_REQUEST, "name-too-long", "Name too long"),
            CountersError::TooManyNames => {
                (StatusCode::INSUFFICIENT_STORAGE, "too-many-counters", "Too many counters")
            }
            CountersError::NotDurable => (StatusCode::UNPROCESSABLE_ENTITY, "not-durable", "Not durable"),
            CountersError::UnknownOutcome(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "unknown-outcome", "Unknown outcome")
            }
            CountersError::TooManySessions { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-sessions", "Too many sessions")
            }
            CountersError::RemovalForbidden => (StatusCode::FORBIDDEN, "removal-forbidden", "Forbidden"),
            CountersError::SessionExpired => (StatusCode::GONE, "session-expired", "Session expired"),
            CountersError::Superseded => (StatusCode::CONFLICT, "superseded", "Superseded"),
            CountersError::OtherNode { .. } => {
                (StatusCode::CONFLICT, "other-node", "Session of another node")
            }
            CountersError::NeedsOneOwner { .. } => {
                (StatusCode::CONFLICT, "needs-one-owner", "Needs one owner")
            }
            CountersError::TooFewPeers { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "too-few-nodes", "Too few nodes")
            }
            CountersError::Unanswered { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "nodes-unanswered", "Nodes have not answered")
            }
            CountersError::NotOnTopic { .. } => (StatusCode::CONFLICT, "not-on-topic", "Not on a topic"),
            CountersError::ReadOnlyTopic => (StatusCode::CONFLICT, "read-only-topic", "Not on this topic"),
            CountersError::LogFull => (StatusCode::SERVICE_UNAVAILABLE, "log-full", "Log full"),
            CountersError::LogRefuses(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "log-refuses", "Log refuses records")
            }
            CountersError::NotCounted { .. } => (StatusCode::ACCEPTED, "not-counted", "Not counted yet"),
            CountersError::NotReached { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "not-reached", "Not counted in time")
            }
            CountersError::PartitionStopped(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "partition-stopped", "Partition stopped")
            }
            CountersError::NoTopic => (StatusCode::CONFLICT, "no-topic", "No topic"),
            CountersError::Alarm(_) => (StatusCode::SERVICE_UNAVAILABLE, "alarm", "Nothing is acknowledged"),
            CountersError::OtherRequest => {
                (StatusCode::UNPROCESSABLE_ENTITY, "other-request", "Idempotency key of another request")
            }
        };
        let positions = match &error {
            CountersError::NotCounted { positions } => Some(positions.clone()),
            _ => None,
        };
        Self { positions, ..Self::new(status, kind, title, error.to_string()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(positions) = self.positions {
            let body = json(&serde_json::json!({ "position": positions.to_string() }));
            return with_positions((self.status, body).into_response(), &positions);
        }
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content_type, self.to_json().to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
