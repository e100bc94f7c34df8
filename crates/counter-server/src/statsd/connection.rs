//! Connections that send lines over TCP.

use std::net::SocketAddr;
use std::pin::pin;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::intake::{Intake, Metrics, Rejection};
use super::lines::Lines;
use crate::listener::{Listener, Stream};
use crate::service::{Service, ServiceState};

/// Number of bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Serves connections until the server drains and the last one has ended.
pub(crate) async fn run(mut listener: Listener, service: Service, metrics: Metrics) {
    let mut connections = JoinSet::new();
    while let Some((stream, peer)) = listener.accept().await {
        connections.spawn(serve(stream, peer, service.clone(), metrics.clone()));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Counts the lines of a client until it leaves or the server drains. Nothing is read while counters are loaded.
async fn serve(mut stream: Stream, peer: SocketAddr, service: Service, metrics: Metrics) {
    service.reached(ServiceState::Ready).await;
    let Ok(counters) = service.counters() else { return };
    let (mut intake, mut lines) = (Intake::new(counters, metrics), Lines::default());
    let (mut draining, mut is_draining) = (pin!(service.reached(ServiceState::Draining)), false);
    loop {
        let input = lines.input();
        input.reserve(READ_BYTES);
        let read = tokio::select! {
            read = stream.read_buf(input) => read,
            () = &mut draining, if !is_draining => {
                // What has arrived is still counted.
                stream.stop_input();
                is_draining = true;
                continue;
            }
        };
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "connection ended");
                break;
            }
        }
        let (complete, too_long) = lines.take();
        intake.count(complete).await;
        for _ in 0..too_long {
            intake.metrics().reject(Rejection::TooLong);
        }
    }
    // A part of a line may be a line, but another one than was meant.
    if lines.is_incomplete() {
        intake.metrics().reject(Rejection::Malformed);
    }
}
