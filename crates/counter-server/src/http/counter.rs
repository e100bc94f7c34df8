//! One counter as a resource.

use std::sync::Arc;

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use counter_keyspace::{Operation, Outcome};
use counter_protocol::{Count, CounterName, NameTooLong};
use serde::{Deserialize, Serialize};

use super::body::JsonBody;
use super::connection::Connection;
use super::integer::Integer;
use super::log::{KnownLag, Placed};
use super::preferences::{PREFERENCE_APPLIED, Preferences, prefers};
use super::problem::Problem;
use super::query::{LastSegment, Query};
use crate::counters::CountersError;

/// Body of a request that adds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addition {
    #[serde(default = "one")]
    by: Integer,
}

/// Body of a request that sets.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    value: Integer,
}

/// Wishes of a client, as the headers of its request state them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    preferences: Preferences,
    /// The answer is to be the value alone, as text.
    is_text: bool,
}

/// Counter as JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CounterBody<'a> {
    pub(crate) name: &'a CounterName,
    #[serde(flatten)]
    pub(crate) count: Count,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) durability: Option<&'a str>,
    /// Position behind an increment in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lag: Option<KnownLag>,
}

impl<'a> CounterBody<'a> {
    pub(crate) const fn new(name: &'a CounterName, count: Count) -> Self {
        Self { name, count, durability: None, position: None, lag: None }
    }
}

const fn one() -> Integer {
    Integer(1)
}

pub(crate) async fn get(
    Extension(connection): Extension<Arc<Connection>>,
    LastSegment(name): LastSegment,
    query: Query,
    wishes: Wishes,
) -> Result<Response, Problem> {
    query.check(&["fresh_ms", "after", "wait_ms"])?;
    if let Some(deadline) = query.fresh()? {
        connection.counters()?.refresh(Some(&name), deadline).await?;
    }
    connection.wait_for_log(&query).await?;
    let preferences = Preferences { idempotency_key: None, ..wishes.preferences };
    operate(&connection, name, Operation::GetCount, Wishes { preferences, ..wishes }).await
}

pub(crate) async fn add(
    Extension(connection): Extension<Arc<Connection>>,
    LastSegment(name): LastSegment,
    wishes: Wishes,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Addition { by: Integer(by) } = body.read(&connection).await?.unwrap_or(Addition { by: one() });
    operate(&connection, name, Operation::Add(by), wishes).await
}

pub(crate) async fn set(
    Extension(connection): Extension<Arc<Connection>>,
    LastSegment(name): LastSegment,
    wishes: Wishes,
    body: JsonBody,
) -> Result<Response, Problem> {
    let missing = || Problem::invalid("the body is empty; it has to be {\"value\": NUMBER}");
    let Assignment { value: Integer(value) } = body.read(&connection).await?.ok_or_else(missing)?;
    operate(&connection, name, Operation::Set(value), wishes).await
}

pub(crate) async fn remove(
    Extension(connection): Extension<Arc<Connection>>,
    LastSegment(name): LastSegment,
    wishes: Wishes,
) -> Result<Response, Problem> {
    operate(&connection, name, Operation::RemoveAndGet, wishes).await
}

/// Applies an operation, and returns the counter as the client wishes.
async fn operate(
    connection: &Connection,
    name: Vec<u8>,
    operation: Operation,
    wishes: Wishes,
) -> Result<Response, Problem> {
    let name = CounterName::new(name).map_err(|error: NameTooLong| CountersError::from(error))?;
    let operations = with_count(operation).map(|operation| (name.as_bytes(), operation));
    let (outcomes, placed) = connection.apply(&wishes.preferences, operations).await?;
    let (outcome, after) = take_outcome(operation, &mut outcomes.into_iter())?;
    let count = count_of(outcome, after)?.ok_or_else(Problem::no_such_counter)?;
    Ok(respond(&name, count, &placed, wishes))
}

impl<S: Sync> FromRequestParts<S> for Wishes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let is_text = prefers(&parts.headers, "text/plain");
        Ok(Self { preferences: Preferences::of(parts)?, is_text })
    }
}

fn respond(name: &CounterName, count: Count, placed: &Placed, wishes: Wishes) -> Response {
    let (durability, position) = (placed.durability(), placed.position());
    let mut response = if wishes.is_text {
        let content_type = [(header::CONTENT_TYPE, "text/plain")];
        (content_type, count.value.to_string()).into_response()
    } else {
        let (durability, position, lag) = (durability.as_deref(), position.as_deref(), placed.lag());
        json(&CounterBody { durability, position, lag, ..CounterBody::new(name, count) })
    };
    if wishes.preferences.durability.is_some()
        && let Some(durability) = durability
        && let Ok(applied) = HeaderValue::from_str(&format!("durability={durability}"))
    {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    placed.head(response)
}

/// Returns a response of JSON.
pub(crate) fn json(body: &impl Serialize) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_vec(body) {
        Ok(bytes) => (content_type, bytes).into_response(),
        Err(error) => Problem::invalid(error.to_string()).into_response(),
    }
}

/// Returns an operation, followed by a question for the number of operations if its outcome does not tell it.
pub(crate) fn with_count(operation: Operation) -> impl Iterator<Item = Operation> {
    let question = needs_count(operation).then_some(Operation::GetCount);
    [operation].into_iter().chain(question)
}

const fn needs_count(operation: Operation) -> bool {
    !matches!(operation, Operation::GetCount | Operation::RemoveAndGet)
}

/// Takes the outcomes of one operation [`with_count`].
pub(crate) fn take_outcome(
    operation: Operation,
    outcomes: &mut impl Iterator<Item = Outcome>,
) -> Result<(Outcome, Option<Outcome>), Problem> {
    let mut next = || outcomes.next().ok_or(CountersError::UnknownOutcome("an outcome is missing"));
    let outcome = next()?;
    Ok((outcome, if needs_count(operation) { Some(next()?) } else { None }))
}

/// Returns the counter after an operation, or before its removal. `None` if there is none, or if the outcome has not
/// been kept.
pub(crate) fn count_of(outcome: Outcome, after: Option<Outcome>) -> Result<Option<Count>, Problem> {
    match (outcome, after) {
        (Outcome::Value(Some(value)), Some(Outcome::Count(count))) => {
            // Nothing comes in between unless the shard crashes, which may lead to a later number.
            Ok(Some(Count { value, operations: count.map_or(1, |count| count.operations) }))
        }
        (Outcome::Count(count) | Outcome::Removed(count), _) => Ok(count),
        (Outcome::Applied, Some(Outcome::OutOfRange(_))) => Err(Problem::beyond_64_bits()),
        (Outcome::OutOfRange(value), _) => Err(Problem::out_of_range(value)),
        (Outcome::Full, _) => Err(CountersError::TooManyNames.into()),
        _ => Ok(None),
    }
}
