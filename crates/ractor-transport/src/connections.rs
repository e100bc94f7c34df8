//! A transport together with `ractor_cluster`'s part of its node.

use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;

use crate::cookie::Cookie;
use crate::server::{NodeServerError, node_server};
use crate::transport::{Transport, TransportError, TransportOptions};

/// A [`Transport`] and the [`node_server`] that it gives its streams to. Both end with their owner.
#[derive(Debug)]
pub struct Connections {
    transport: Transport,
    server: Server,
}

/// Node server that stops when it is dropped, also if the transport does not start.
#[derive(Debug)]
struct Server(ActorRef<NodeServerMessage>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}

impl Connections {
    /// Starts both, under the name of the options. A frame of more than `max_frame_bytes` that arrives ends its
    /// connection.
    ///
    /// # Errors
    /// [`NodeServerError`] or [`TransportError`], as the caller's error. Nothing is left running then.
    pub async fn start<E>(options: TransportOptions, cookie: &Cookie, max_frame_bytes: u64) -> Result<Self, E>
    where
        E: From<NodeServerError> + From<TransportError>,
    {
        let server = Server(node_server(&options.name, cookie, max_frame_bytes).await?);
        let transport = Transport::start(options, server.0.clone()).await?;
        Ok(Self { transport, server })
    }

    /// Returns the transport.
    #[must_use]
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Ends all connections, and waits until they have ended.
    pub async fn shutdown(self) {
        self.transport.shutdown().await;
        self.server.0.stop(None);
        let _ = self.server.0.wait(None).await;
    }
}
