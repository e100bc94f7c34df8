//! The HTTP front end: counters as resources, and pages for operators.
//!
//! The interface is described by an OpenAPI document, which the server itself hands out at `/openapi.json`.

mod batch;
mod bearer;
mod body;
mod cluster;
mod connection;
mod counter;
mod events;
mod integer;
mod listing;
mod log;
mod metrics;
mod preferences;
mod problem;
mod query;
mod sessions;
mod unread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::dashboard;
use crate::listener::Listener;
use crate::service::{Service, ServiceState};
use crate::telemetry::Protocol;

use connection::Connection;
use problem::Problem;

/// Answer to a client that is turned away.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Description of the interface.
const OPENAPI: &str = include_str!("http/openapi.json");

/// HTTP over any stream of bytes.
#[derive(Clone, Debug)]
pub struct Http {
    service: Service,
    router: Router,
}

/// HTTP front end that is listening.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    listener: Listener,
    http: Http,
}

impl Http {
    /// Creates the interface of a server.
    #[must_use]
    pub fn new(service: &Service) -> Self {
        Self { service: service.clone(), router: router() }
    }

    /// Serves a client until it leaves, is too slow, or the server drains.
    pub async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        connection::serve(stream, peer, self.service, self.router).await;
    }
}

impl FrontEnd {
    pub(crate) async fn bind(address: SocketAddr, service: &Service) -> io::Result<Self> {
        let listener = Listener::bind(address, Protocol::Http, TOO_MANY, service).await?;
        Ok(Self { listener, http: Http::new(service) })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the server drains and the last connection has ended.
    pub(crate) async fn run(mut self) {
        let mut connections = JoinSet::new();
        while let Some((stream, peer)) = self.listener.accept().await {
            connections.spawn(self.http.clone().serve(stream, peer));
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

fn router() -> Router {
    let counter = get(counter::get).post(counter::add).put(counter::set).delete(counter::remove);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }))
        .route("/v1/counters", get(listing::list).post(batch::apply))
        .route("/v1/counters/{name}", counter)
        .route("/v1/counters/metrics", get(metrics::of_counters))
        .route("/v1/top", get(listing::top))
        .route("/v1/events", get(events::events))
        .route("/v1/status", get(events::status))
        .route("/v1/cluster", get(cluster::cluster))
        .route("/metrics", get(metrics::of_server))
        .route("/v1/sessions", post(sessions::open))
        .route("/v1/sessions/{session}", delete(sessions::close))
        .merge(dashboard::router())
        .fallback(|| async { Problem::no_such_resource() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
}

async fn readyz(Extension(connection): Extension<Arc<Connection>>) -> impl IntoResponse {
    match connection.service().state() {
        ServiceState::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading\n"),
        ServiceState::Ready => (StatusCode::OK, "ready\n"),
        ServiceState::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}
