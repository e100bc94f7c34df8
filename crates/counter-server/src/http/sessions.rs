//! Sessions, in which requests can be retried.

use std::sync::Arc;

use axum::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::connection::Connection;
use super::counter::json;
use super::problem::Problem;
use super::query::LastSegment;
use crate::counters::SessionToken;

/// Session as JSON.
#[derive(Clone, Debug, Serialize)]
struct SessionBody {
    session: String,
}

/// Opens a session. The number of sessions is limited by the address of the client.
pub(crate) async fn open(Extension(connection): Extension<Arc<Connection>>) -> Result<Response, Problem> {
    let session = connection.counters()?.open_session(&connection.client().to_string())?;
    let session = SessionToken(session).to_string();
    let location = [(header::LOCATION, format!("/v1/sessions/{session}"))];
    Ok((StatusCode::CREATED, location, json(&SessionBody { session })).into_response())
}

/// Closes a session: its requests cannot be retried any more.
pub(crate) async fn close(
    Extension(connection): Extension<Arc<Connection>>,
    LastSegment(session): LastSegment,
) -> Result<StatusCode, Problem> {
    let session = str::from_utf8(&session).ok().and_then(|text| text.parse().ok());
    let invalid = || Problem::invalid("a session is INCARNATION.NUMBER");
    let SessionToken(session) = session.ok_or_else(invalid)?;
    connection.counters()?.close_session(session).await?;
    Ok(StatusCode::NO_CONTENT)
}
