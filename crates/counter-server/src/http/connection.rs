//! One connection of an HTTP client.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, Uri, header};
use axum::response::IntoResponse;
use counter_keyspace::{Operation, Outcome};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service as _;

use super::bearer;
use super::log::{self, KnownLag, Placed, known_lag};
use super::preferences::Preferences;
use super::problem::Problem;
use super::query::Query;
use super::unread::ReadWithin;
use crate::counters::{Applied, Counters, CountersError, LagStatus};
use crate::service::{Service, ServiceState};
use crate::telemetry::{FrontEnd, Protocol};

/// Time for a client to send the head of a request, also while the connection is idle.
const HEAD_DEADLINE: Duration = Duration::from_secs(60);

/// State that the requests of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    service: Service,
    client: IpAddr,
    /// Outboxes of the connection, from its first request that needs them on.
    counters: OnceLock<Counters>,
    requests: Counter,
    rejected: Counter,
}

/// Serves a client until it leaves, is too slow, or the server drains.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    service: Service,
    router: Router,
) {
    let stream = ReadWithin::new(stream, service.limits().unread_timeout);
    let connection = Arc::new(Connection::new(&service, peer.ip()));
    let answer = service_fn(|request| {
        let (connection, router) = (Arc::clone(&connection), router.clone());
        async move { Ok::<_, Infallible>(answer(connection, router, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let served = tokio::select! {
        biased;
        served = serving.as_mut() => served,
        () = service.reached(ServiceState::Draining) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

async fn answer(
    connection: Arc<Connection>,
    mut router: Router,
    request: Request<Incoming>,
) -> Response<Body> {
    connection.requests.inc();
    let rejected = connection.rejected.clone();
    let response = if is_of_another_site(&request) {
        Problem::other_site().into_response()
    } else if let Some(refusal) = bearer::refusal(connection.service.access(), &request) {
        refusal
    } else {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&connection));
        let Ok(response) = router.call(request).await;
        log::complete(response, connection.counters.get())
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        rejected.inc();
    }
    response
}

/// Returns true if a browser sends the request on behalf of a page of another site, and it might change something: a
/// counter on the loopback interface is not to be counted up by any page that somebody visits.
fn is_of_another_site<B>(request: &Request<B>) -> bool {
    let headers: &HeaderMap = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match text(header::ORIGIN) {
        Some(origin) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
            authority.as_ref().map(|authority| authority.as_str()) != text(header::HOST)
        }
        _ => false,
    }
}

impl Connection {
    fn new(service: &Service, client: IpAddr) -> Self {
        let (telemetry, front_end) = (service.telemetry(), FrontEnd { front_end: Protocol::Http });
        Self {
            service: service.clone(),
            client,
            counters: OnceLock::new(),
            requests: telemetry.requests.get_or_create(&front_end).clone(),
            rejected: telemetry.rejected.get_or_create(&front_end).clone(),
        }
    }

    pub(crate) const fn service(&self) -> &Service {
        &self.service
    }

    /// Returns the address of the client, by which its sessions are limited.
    pub(crate) const fn client(&self) -> IpAddr {
        self.client
    }

    /// Returns the counters, with outboxes of this connection.
    pub(crate) fn counters(&self) -> Result<&Counters, Problem> {
        match self.counters.get() {
            Some(counters) => Ok(counters),
            None => {
                let counters = self.service.counters()?;
                Ok(self.counters.get_or_init(|| counters))
            }
        }
    }

    /// Applies operations as their request asks for, and returns what has become of them, and in which place.
    pub(crate) async fn apply(
        &self,
        preferences: &Preferences,
        operations: impl IntoIterator<Item = (impl AsRef<[u8]>, Operation)>,
    ) -> Result<(Vec<Outcome>, Placed), Problem> {
        let counters = self.counters()?;
        let durability = preferences.durability.unwrap_or_else(|| counters.default_durability());
        let applied = match preferences.idempotency_key {
            None => counters.apply_within(operations, durability, preferences.wait).await?,
            Some((session, sequence)) => {
                let outcomes = counters.apply_in_session(session, sequence, operations, durability).await?;
                Applied { outcomes, ..Applied::default() }
            }
        };
        let Applied { outcomes, positions, lag } = applied;
        let placed = match counters.topic() {
            Some(_) => Placed::InLog { positions, lag: lag.map(LagStatus::from) },
            None => Placed::Here(durability),
        };
        Ok((outcomes, placed))
    }

    /// Waits until the log is counted as far as a request asks for, and returns how far counts are behind it then, if
    /// there is a log.
    pub(crate) async fn wait_for_log(&self, query: &Query) -> Result<Option<KnownLag>, Problem> {
        let (after, wait, counters) = (query.after()?, query.wait()?, self.counters()?);
        match (after, counters.topic()) {
            (None, topic) => Ok(topic.map(known_lag)),
            (Some(_), None) => Err(CountersError::NoTopic.into()),
            (Some(positions), Some(topic)) => {
                topic.reach(&positions, wait).await?;
                Ok(Some(known_lag(topic)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(method: Method, headers: &[(&str, &str)]) -> bool {
        let builder = Request::builder().method(method).uri("/v1/counters/a");
        let request = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        is_of_another_site(&request.body(()).unwrap())
    }

    #[test]
    fn only_pages_of_the_server_itself_may_change_counters() {
        let host = ("host", "127.0.0.1:8380");
        assert!(!is_refused(Method::POST, &[host]));
        assert!(!is_refused(Method::POST, &[host, ("origin", "http://127.0.0.1:8380")]));
        assert!(!is_refused(Method::GET, &[host, ("origin", "https://example.org")]));
        for origin in ["https://example.org", "http://127.0.0.1:9999", "null", ""] {
            assert!(is_refused(Method::POST, &[host, ("origin", origin)]), "{origin}");
        }
    }
}
