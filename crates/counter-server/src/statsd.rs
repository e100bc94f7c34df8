//! The StatsD front end: counts of StatsD and DogStatsD, in datagrams and over TCP.
//!
//! Only type `c` counts; lines of other types are rejected, and counted as such. Tags become a part of the name (see
//! [`decode::Counted`]). An amount is its value divided by the sample rate: exact where that is a whole number,
//! otherwise rounded up or down at random, so that sums have the right mean. Nothing is answered, so whether a line
//! was counted shows in the metrics only, and so do datagrams that the kernel has dropped.

pub mod amount;
mod connection;
mod datagrams;
pub mod decode;
mod intake;
mod lines;
mod receive;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::listener::Listener;
use crate::service::Service;
use crate::telemetry::Protocol;

use datagrams::Datagrams;
use intake::Metrics;

/// Sockets on which StatsD is received. Those that are `None` are off.
#[derive(Clone, Debug, Default)]
pub struct StatsdOptions {
    /// Address of UDP.
    pub udp: Option<SocketAddr>,
    /// Address of TCP, with a line for each metric.
    pub tcp: Option<SocketAddr>,
    /// Path of a Unix socket for datagrams.
    pub unix: Option<PathBuf>,
}

/// Addresses at which StatsD is received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) tcp: Option<SocketAddr>,
}

/// Opens the sockets, and receives until the server drains.
pub(crate) async fn start(
    options: &StatsdOptions,
    service: &Service,
    front_ends: &mut JoinSet<()>,
) -> anyhow::Result<Addresses> {
    let StatsdOptions { udp, tcp, unix } = options;
    let mut addresses = Addresses::default();
    if udp.is_none() && tcp.is_none() && unix.is_none() {
        return Ok(addresses);
    }
    let metrics = Metrics::new(service);
    if let Some(address) = *udp {
        let datagrams = Datagrams::udp(address, service, &metrics).await;
        let datagrams = datagrams.with_context(|| format!("cannot receive StatsD at UDP {address}"))?;
        addresses.udp = datagrams.local_addr();
        front_ends.spawn(datagrams.run());
    }
    if let Some(path) = unix {
        let datagrams = Datagrams::unix(path, service, &metrics);
        let datagrams = datagrams.with_context(|| format!("cannot receive StatsD at {}", path.display()))?;
        front_ends.spawn(datagrams.run());
    }
    if let Some(address) = *tcp {
        let listener = Listener::bind(address, Protocol::StatsD, b"", service).await;
        let listener = listener.with_context(|| format!("cannot listen on {address} for StatsD"))?;
        addresses.tcp = Some(listener.local_addr()?);
        front_ends.spawn(connection::run(listener, service.clone(), metrics));
    }
    Ok(addresses)
}
