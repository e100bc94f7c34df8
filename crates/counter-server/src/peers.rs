//! The node of a cluster that a server is.

use std::net::SocketAddr;
use std::path::PathBuf;

use counter_cluster::NodeOptions;
use counter_stream::GroupOptions;
use ractor_transport::{Cookie, Limits, NodeName, Security};

/// Options of a server that takes part in a cluster.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// Name of this node, unique in the cluster.
    pub name: NodeName,
    /// Address to listen on for other nodes.
    pub listen: SocketAddr,
    /// Addresses of other nodes, as `host:port`.
    pub peers: Vec<String>,
    /// Path of the secret that all nodes share.
    pub cookie_file: PathBuf,
    /// Directory of the node's certificate. Without it, only addresses of this machine are allowed.
    pub tls_dir: Option<PathBuf>,
    /// Allows addresses beyond this machine without TLS.
    pub allow_plaintext: bool,
    /// Maximum number of connections that other nodes may open to this one.
    pub max_connections: usize,
    /// Goes on with a store that other nodes know a later state of.
    pub accept_rollback: bool,
}

impl PeerOptions {
    /// Checks the cookie and the certificate.
    ///
    /// # Errors
    /// If they cannot be read, or the certificate is another node's.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.secrets().map(drop)
    }

    /// Reads the cookie and the certificate, and returns the options of a node in memory.
    ///
    /// # Errors
    /// If they cannot be read, or the certificate is another node's.
    pub(crate) fn node_options(&self) -> anyhow::Result<NodeOptions> {
        let (cookie, security) = self.secrets()?;
        Ok(NodeOptions {
            listen: self.listen,
            peers: self.peers.clone(),
            security,
            allow_plaintext: self.allow_plaintext,
            limits: self.limits(),
            ..NodeOptions::new(self.name.clone(), cookie)
        })
    }

    /// Reads the cookie and the certificate, and returns how a member of a group reaches the others.
    ///
    /// # Errors
    /// If they cannot be read, or the certificate is another member's.
    pub(crate) fn group_options(&self) -> anyhow::Result<GroupOptions> {
        let (cookie, security) = self.secrets()?;
        Ok(GroupOptions {
            listen: self.listen,
            peers: self.peers.clone(),
            security,
            allow_plaintext: self.allow_plaintext,
            limits: self.limits(),
            ..GroupOptions::new(cookie)
        })
    }

    fn secrets(&self) -> anyhow::Result<(Cookie, Security)> {
        let cookie = Cookie::from_file(&self.cookie_file)?;
        Ok((cookie, Security::load(self.tls_dir.as_deref(), &self.name)?))
    }

    fn limits(&self) -> Limits {
        Limits { connections: self.max_connections, ..Limits::default() }
    }
}
