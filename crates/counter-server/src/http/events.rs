//! Server-sent events: changed counters, and the state of the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use counter_keyspace::{Entry, Page};
use counter_protocol::{Count, CounterName};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::connection::Connection;
use super::counter::json;
use super::listing::ListBody;
use super::problem::Problem;
use super::query::Query;
use crate::counters::{Change, ChangedCounters, Subscription};
use crate::service::{Service, ServiceState};
use crate::status::{self, Sample, Status};

/// Time between comments that tell a client and what is in between that the connection lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Events of one client.
#[derive(Debug)]
struct Events {
    service: Service,
    samples: Receiver<Arc<Sample>>,
    /// Largest counters, which have been sent unless they are due.
    top: Arc<Page>,
    is_top_due: bool,
    /// `None` if the client has not asked for changes.
    changes: Option<(Box<[u8]>, Subscription)>,
}

/// Changed counters as JSON.
#[derive(Clone, Debug, Serialize)]
struct ChangesBody {
    removed: Vec<CounterName>,
    counters: Vec<ChangedCounter>,
}

#[derive(Clone, Debug, Serialize)]
struct ChangedCounter {
    name: CounterName,
    #[serde(flatten)]
    count: Count,
}

/// Returns the state of the server.
pub(crate) async fn status(Extension(connection): Extension<Arc<Connection>>) -> Result<Response, Problem> {
    Ok(json(&Status::take(connection.service(), connection.counters()?).await?))
}

/// Sends the state of the server every second, and changed counters by prefix if there is one, even an empty one.
pub(crate) async fn events(
    Extension(connection): Extension<Arc<Connection>>,
    query: Query,
) -> Result<Response, Problem> {
    query.check(&["prefix"])?;
    let (service, counters) = (connection.service().clone(), connection.counters()?);
    let changes = match query.bytes("prefix") {
        Some(prefix) => Some((prefix.into(), counters.subscribe().await?)),
        None => None,
    };
    let samples = status::watch(&service, counters).await?;
    let events = Events { service, samples, top: Arc::default(), is_top_due: false, changes };
    let events = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)).into_response())
}

impl Events {
    /// Waits for the next event. `None` once the server drains.
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_top_due) {
            return event("top", &ListBody::new(&self.top, None, None));
        }
        loop {
            tokio::select! {
                biased;
                () = self.service.reached(ServiceState::Draining) => return None,
                change = next_change(&mut self.changes) => match change? {
                    Change::Missed => return event("missed", &serde_json::json!({})),
                    Change::Counters(changes) => {
                        let prefix = self.changes.as_ref().map_or(&b""[..], |(prefix, _)| prefix);
                        if let Some(body) = ChangesBody::of(&changes, prefix) {
                            return event("changed", &body);
                        }
                    }
                },
                sample = self.samples.recv() => match sample {
                    Ok(sample) => {
                        self.is_top_due = !Arc::ptr_eq(&self.top, &sample.top);
                        self.top = Arc::clone(&sample.top);
                        return event("status", &sample.status);
                    }
                    // The next one is as good.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

/// Waits for the next change, forever if nobody has asked for them. `None` if the counters have stopped.
async fn next_change(changes: &mut Option<(Box<[u8]>, Subscription)>) -> Option<Change> {
    match changes {
        Some((_, subscription)) => subscription.next().await,
        None => std::future::pending().await,
    }
}

impl ChangesBody {
    /// Returns the changes of counters with this prefix, if there are any.
    fn of(changes: &ChangedCounters, prefix: &[u8]) -> Option<Self> {
        let name = |bytes: &[u8]| {
            let matching = Some(bytes).filter(|bytes| bytes.starts_with(prefix));
            matching.and_then(|bytes| CounterName::new(bytes).ok())
        };
        let removed: Vec<_> = changes.removed.iter().filter_map(|removed| name(removed)).collect();
        let changed = changes.changed.iter();
        let counters = changed.filter_map(|Entry { name: bytes, count, .. }| {
            Some(ChangedCounter { name: name(bytes)?, count })
        });
        let counters: Vec<_> = counters.collect();
        (!removed.is_empty() || !counters.is_empty()).then_some(Self { removed, counters })
    }
}

fn event(name: &str, body: &impl Serialize) -> Option<Event> {
    Some(Event::default().event(name).data(serde_json::to_string(body).ok()?))
}
