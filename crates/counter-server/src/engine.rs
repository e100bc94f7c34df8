//! The counting part: a keyspace, with a store or not, or a node of a cluster.

use std::net::SocketAddr;

use anyhow::Context;
use counter_cluster::{Alarm, Node, NodeOptions, NodeStoreOptions};
use counter_keyspace::Keyspace;
use counter_store::Store;

use crate::counters::{Counters, Durability};
use crate::limits::Limits;
use crate::peers::PeerOptions;
use crate::serve::Storage;

/// Counting part of a server, which ends behind its front ends and counters.
#[derive(Debug)]
pub(crate) enum Engine {
    Keyspace(Keyspace),
    Node(Box<Node>),
}

impl Engine {
    /// Starts to count, with what is in the storage.
    pub(crate) async fn start(
        storage: Storage,
        peers: Option<&PeerOptions>,
        durability: Durability,
        limits: Limits,
    ) -> anyhow::Result<(Self, Counters)> {
        if let Some(peers) = peers {
            let node = Node::start(node_options(storage, peers, limits)?).await?;
            let counters = Counters::of_node(&node, durability, limits.sessions);
            return Ok((Self::Node(node.into()), counters));
        }
        match storage {
            Storage::Memory(mut options) => {
                options.max_names = limits.names;
                let keyspace = Keyspace::start(options).await?;
                let counters = Counters::in_memory(&keyspace, limits.sessions);
                Ok((Self::Keyspace(keyspace), counters))
            }
            Storage::Directory(dir, mut options) => {
                options.keyspace.max_names = limits.names;
                options.max_sessions = limits.sessions;
                let opened = Store::open(&dir, options).await;
                let (store, keyspace) = opened.with_context(|| dir.display().to_string())?;
                Ok((Self::Keyspace(keyspace), Counters::durable(store, durability)))
            }
        }
    }

    /// Ends counting. A node hands over to its peers first.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        match self {
            Self::Keyspace(keyspace) => _ = keyspace.shutdown().await,
            Self::Node(node) => node.shutdown().await?,
        }
        Ok(())
    }

    /// Waits until the server has to be stopped, because its node acknowledges nothing any more.
    pub(crate) async fn alarmed(&self) -> Alarm {
        match self {
            Self::Keyspace(_) => std::future::pending().await,
            Self::Node(node) => node.alarmed().await,
        }
    }

    /// Returns the address at which other nodes find this one.
    pub(crate) const fn node_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Keyspace(_) => None,
            Self::Node(node) => node.local_addr(),
        }
    }
}

fn node_options(storage: Storage, peers: &PeerOptions, limits: Limits) -> anyhow::Result<NodeOptions> {
    let mut options = peers.node_options()?;
    match storage {
        Storage::Memory(keyspace) => options.keyspace = keyspace,
        Storage::Directory(dir, mut store) => {
            options.keyspace = store.keyspace.clone();
            store.max_sessions = limits.sessions;
            let accept_rollback = peers.accept_rollback;
            options.store = Some(NodeStoreOptions { dir, options: store, accept_rollback });
        }
    }
    options.keyspace.max_names = limits.names;
    Ok(options)
}
