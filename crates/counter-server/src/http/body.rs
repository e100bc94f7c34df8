//! Bodies of requests: bounded in size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::preferences::has_media_type;
use super::problem::Problem;

/// Time for a client to send the body of a request.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a body of up to this length.
pub(crate) async fn read(body: Body, limit_bytes: usize) -> Result<Bytes, Problem> {
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

/// Reads a body of JSON. `None` if it is empty.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limit_bytes: usize,
) -> Result<Option<T>, Problem> {
    let bytes = read(body, limit_bytes).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if !has_media_type(headers, "application/json") {
        return Err(Problem::unsupported_media_type("application/json"));
    }
    let parsed = serde_json::from_slice(&bytes).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Some(parsed))
}
