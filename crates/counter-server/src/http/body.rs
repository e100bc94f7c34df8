//! Bodies of requests: bounded in size and time.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::connection::Connection;
use super::preferences::has_media_type;
use super::problem::Problem;

/// Time for a client to send the body of a request.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a body of up to the length that the server allows.
pub(crate) async fn read(connection: &Connection, body: Body) -> Result<Bytes, Problem> {
    let limit_bytes = connection.service().limits().request_bytes;
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(Problem::too_large(limit_bytes));
    }
    match timeout(BODY_DEADLINE, to_bytes(body, limit_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Either it is too long, or the client has left and sees no answer.
        Ok(Err(_)) => Err(Problem::too_large(limit_bytes)),
        Err(_) => Err(Problem::too_slow()),
    }
}

/// Body that is to be JSON. It keeps no headers: they refer to the buffer of the connection, which would have to get
/// another one while the request is answered.
#[derive(Debug)]
pub(crate) struct JsonBody {
    body: Body,
    /// The headers say that it is JSON.
    is_json: bool,
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let is_json = has_media_type(request.headers(), "application/json");
        Ok(Self { body: request.into_body(), is_json })
    }
}

impl JsonBody {
    /// Reads the body. `None` if it is empty.
    pub(crate) async fn read<T: DeserializeOwned>(
        self,
        connection: &Connection,
    ) -> Result<Option<T>, Problem> {
        let bytes = read(connection, self.body).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if !self.is_json {
            return Err(Problem::unsupported_media_type("application/json"));
        }
        let parsed = serde_json::from_slice(&bytes).map_err(|error| Problem::invalid(error.to_string()))?;
        Ok(Some(parsed))
    }
}
