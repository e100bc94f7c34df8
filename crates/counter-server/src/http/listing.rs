//! Many counters: pages, all of them, and the largest.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use counter_keyspace::{Page, PageToken};
use counter_protocol::{Count, CounterName};
use futures_util::stream;
use serde::Serialize;

use super::connection::Connection;
use super::counter::{CounterBody, json};
use super::log::{self, KnownLag};
use super::preferences::{NDJSON, prefers};
use super::problem::Problem;
use super::query::Query;
use crate::counters::{Counters, CountersError};

/// Maximum number of counters in an answer.
const MAX_COUNTERS: u64 = 1000;

/// Number of counters in a page by default.
const PAGE_COUNTERS: u64 = 100;

/// Number of largest counters by default.
const TOP_COUNTERS: u64 = 10;

/// Maximum number of questions for one page. With a rare prefix, a page may have fewer counters than it could, and
/// even none.
const PAGE_QUESTIONS: usize = 64;

/// Page of counters as JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ListBody<'a> {
    counters: Vec<CounterBody<'a>>,
    /// Cursor of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<KnownLag>,
}

impl<'a> ListBody<'a> {
    pub(crate) fn new(
        counters: &'a [(CounterName, Count)],
        next: Option<PageToken>,
        lag: Option<KnownLag>,
    ) -> Self {
        let counters = counters.iter().map(|(name, count)| CounterBody::new(name, *count));
        Self { counters: counters.collect(), next: next.map(|token| token.to_cursor().to_string()), lag }
    }
}

/// Lists counters by prefix: a page, or all of them if lines are asked for.
pub(crate) async fn list(
    Extension(connection): Extension<Arc<Connection>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.check(&["prefix", "cursor", "limit", "after", "wait_ms"])?;
    let prefix = query.bytes("prefix").unwrap_or_default();
    let cursor = query.number("cursor", 0..=u64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1..=MAX_COUNTERS)?.unwrap_or(PAGE_COUNTERS);
    let lag = connection.wait_for_log(&query).await?;
    let (counters, token) = (connection.counters()?, PageToken::from_cursor(cursor));
    if prefers(&headers, NDJSON) {
        let lines = lines(counters.clone(), prefix.into(), token);
        return Ok(log::with_lag(([(header::CONTENT_TYPE, NDJSON)], lines).into_response(), lag));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (page, next) = page(counters, prefix, token, limit).await?;
    Ok(log::with_lag(json(&ListBody::new(&page, next, lag)), lag))
}

/// Returns the counters with the largest values.
pub(crate) async fn top(
    Extension(connection): Extension<Arc<Connection>>,
    query: Query,
) -> Result<Response, Problem> {
    query.check(&["n", "after", "wait_ms"])?;
    let n = query.number("n", 1..=MAX_COUNTERS)?.unwrap_or(TOP_COUNTERS);
    let lag = connection.wait_for_log(&query).await?;
    let top = connection.counters()?.top(usize::try_from(n).unwrap_or(usize::MAX)).await?;
    Ok(log::with_lag(json(&ListBody::new(&top, None, lag)), lag))
}

async fn page(
    counters: &Counters,
    prefix: &[u8],
    mut token: PageToken,
    limit: usize,
) -> Result<(Page, Option<PageToken>), CountersError> {
    let mut page = Page::new();
    for _ in 0..PAGE_QUESTIONS {
        let (more, next) = counters.scan_prefix(token, limit - page.len(), prefix).await?;
        page.extend(more);
        match next {
            Some(next) if page.len() < limit => token = next,
            next => return Ok((page, next)),
        }
    }
    Ok((page, Some(token)))
}

/// Returns all counters, a page at a time as the client reads them. An error ends the connection, so that the client
/// notices.
fn lines(counters: Counters, prefix: Box<[u8]>, token: PageToken) -> Body {
    let pages = stream::try_unfold((counters, prefix, Some(token)), |(counters, prefix, token)| async move {
        let Some(token) = token else { return Ok::<_, CountersError>(None) };
        let (page, next) = counters.scan_prefix(token, usize::MAX, &prefix).await?;
        let mut lines = Vec::new();
        for (name, count) in &page {
            let counter = CounterBody::new(name, *count);
            // A vector takes everything, and a name is text or a list of bytes.
            let _ = serde_json::to_writer(&mut lines, &counter);
            lines.push(b'\n');
        }
        Ok(Some((Bytes::from(lines), (counters, prefix, next))))
    });
    Body::from_stream(pages)
}
