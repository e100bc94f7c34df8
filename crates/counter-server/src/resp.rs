//! The RESP front end: the protocol of Redis.

mod batch;
mod client;
mod clients;
mod commands;
mod connection;
pub mod decode;
mod encode;
mod errors;
mod glob;
mod parse;
mod query;
mod shape;
mod topic;

use std::io;
use std::net::SocketAddr;

use tokio::task::JoinSet;

use clients::Clients;
use connection::Connection;

use crate::listener::Listener;
use crate::service::Service;
use crate::telemetry::Protocol;

/// Version of Redis whose commands and replies these are. Clients choose by it what they ask for.
const REDIS_VERSION: &str = "7.0.15";

/// Answer to a client that is turned away, as in Redis.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// RESP front end that is listening.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    listener: Listener,
    service: Service,
    clients: Clients,
}

impl FrontEnd {
    pub(crate) async fn bind(address: SocketAddr, service: &Service) -> io::Result<Self> {
        let listener = Listener::bind(address, Protocol::Resp, TOO_MANY, service).await?;
        Ok(Self { listener, service: service.clone(), clients: Clients::default() })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the server drains and the last connection has ended.
    pub(crate) async fn run(mut self) {
        let mut connections = JoinSet::new();
        while let Some((stream, peer)) = self.listener.accept().await {
            let connection = Connection::new(stream, peer, &self.clients, self.service.clone());
            connections.spawn(connection.serve());
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}
