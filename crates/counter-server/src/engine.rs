//! The counting part: a keyspace, with a store or not, or a node of a cluster.

mod topic;

use std::net::SocketAddr;

use anyhow::Context;
use counter_cluster::{Node, NodeOptions, NodeStoreOptions};
use counter_keyspace::Keyspace;
use counter_store::{Store, StoreOptions};

use crate::counters::{Counters, Durability};
use crate::limits::Limits;
use crate::peers::PeerOptions;
use crate::serve::Storage;

pub use topic::TopicOptions;

use topic::TopicEngine;

/// Counting part of a server, which ends behind its front ends and counters.
#[derive(Debug)]
pub(crate) enum Engine {
    Keyspace(Keyspace),
    Node(Box<Node>),
    Topic(Box<TopicEngine>),
}

impl Engine {
    /// Starts to count, with what is in the storage.
    pub(crate) async fn start(
        storage: Storage,
        peers: Option<&PeerOptions>,
        durability: Durability,
        limits: Limits,
    ) -> anyhow::Result<(Self, Counters)> {
        Ok(match (storage, peers) {
            (Storage::Topic(options), peers) => {
                let (engine, counters) = TopicEngine::start(*options, peers).await?;
                (Self::Topic(engine.into()), counters)
            }
            (Storage::Memory(keyspace), Some(peers)) => {
                Self::node(NodeOptions { keyspace, ..peers.node_options()? }, durability, limits).await?
            }
            (Storage::Directory(dir, options), Some(peers)) => {
                let options = StoreOptions { max_sessions: limits.sessions, ..options };
                let (keyspace, accept_rollback) = (options.keyspace.clone(), peers.accept_rollback);
                let store = Some(NodeStoreOptions { dir, options, accept_rollback });
                Self::node(NodeOptions { keyspace, store, ..peers.node_options()? }, durability, limits)
                    .await?
            }
            (Storage::Memory(mut options), None) => {
                options.max_names = limits.names;
                let keyspace = Keyspace::start(options).await?;
                let counters = Counters::in_memory(&keyspace, limits.sessions);
                (Self::Keyspace(keyspace), counters)
            }
            (Storage::Directory(dir, mut options), None) => {
                options.keyspace.max_names = limits.names;
                options.max_sessions = limits.sessions;
                let opened = Store::open(&dir, options).await;
                let (store, keyspace) = opened.with_context(|| dir.display().to_string())?;
                (Self::Keyspace(keyspace), Counters::durable(store, durability))
            }
        })
    }

    async fn node(
        mut options: NodeOptions,
        durability: Durability,
        limits: Limits,
    ) -> anyhow::Result<(Self, Counters)> {
        options.keyspace.max_names = limits.names;
        let node = Node::start(options).await?;
        let counters = Counters::of_node(&node, durability, limits.sessions);
        Ok((Self::Node(node.into()), counters))
    }

    /// Ends counting. A node hands over to its peers first.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        match self {
            Self::Keyspace(keyspace) => _ = keyspace.shutdown().await,
            Self::Node(node) => node.shutdown().await?,
            Self::Topic(topic) => topic.shutdown().await?,
        }
        Ok(())
    }

    /// Waits until the server has to be stopped: its node acknowledges nothing any more, or follows its topic no more.
    pub(crate) async fn alarmed(&self) -> anyhow::Error {
        match self {
            Self::Keyspace(_) => std::future::pending().await,
            Self::Node(node) => node.alarmed().await.into(),
            Self::Topic(topic) => topic.ended().await.into(),
        }
    }

    /// Returns the address at which other nodes find this one.
    pub(crate) fn node_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Keyspace(_) => None,
            Self::Node(node) => node.local_addr(),
            Self::Topic(topic) => topic.node_addr(),
        }
    }
}
