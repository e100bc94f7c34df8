//! The RESP front end: the protocol of Redis.

mod connection;
pub mod decode;

use std::io;
use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::listener::Listener;
use crate::service::Service;
use crate::telemetry::Protocol;

/// Answer to a client that is turned away, as in Redis.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// RESP front end that is listening.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    listener: Listener,
    service: Service,
}

impl FrontEnd {
    pub(crate) async fn bind(address: SocketAddr, service: &Service) -> io::Result<Self> {
        let listener = Listener::bind(address, Protocol::Resp, TOO_MANY, service).await?;
        Ok(Self { listener, service: service.clone() })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the server drains and the last connection has ended.
    pub(crate) async fn run(mut self) {
        let mut connections = JoinSet::new();
        while let Some((stream, peer)) = self.listener.accept().await {
            connections.spawn(connection::serve(stream, peer, self.service.clone()));
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}
