//! The HTTP front end.

use std::io;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, middleware, serve};

use crate::auth::bearer;
use crate::listener::{Listener, Stream};
use crate::service::{Service, ServiceState};
use crate::telemetry::Protocol;

/// Answer to a client that is turned away.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// HTTP front end that is listening.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    listener: Listener,
    service: Service,
}

impl FrontEnd {
    pub(crate) async fn bind(address: SocketAddr, service: &Service) -> io::Result<Self> {
        let listener = Listener::bind(address, Protocol::Http, TOO_MANY, service).await?;
        Ok(Self { listener, service: service.clone() })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the server drains and the last connection has ended.
    pub(crate) async fn run(self) {
        let service = self.service.clone();
        let drained = async move { service.reached(ServiceState::Draining).await };
        let served = serve(self.listener, router(self.service)).with_graceful_shutdown(drained).await;
        if let Err(error) = served {
            tracing::error!(%error, "HTTP has ended");
        }
    }
}

impl serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.accept().await {
            Some(accepted) => accepted,
            // The server drains; the signal for that ends this future.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn router(service: Service) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .layer(middleware::from_fn_with_state(service.clone(), bearer::authorize))
        .with_state(service)
}

async fn readyz(State(service): State<Service>) -> (StatusCode, &'static str) {
    match service.state() {
        ServiceState::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading\n"),
        ServiceState::Ready => (StatusCode::OK, "ready\n"),
        ServiceState::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}
