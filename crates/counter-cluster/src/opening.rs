//! A node's store: how it is opened, and what the node's parts need of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counter_keyspace::{Clock, Keyspace, KeyspaceOptions};
use counter_store::disk::Disk;
use counter_store::{Member, OpenError, Recovered, Sealed, Store, StoreId, StoreOptions};
use ractor_transport::NodeName;
use tokio::sync::watch;

use crate::ledger::{Ledger, Recovering, Source};
use crate::node::NodeError;
use crate::replica::ReplicaId;
use crate::replication::Replication;
use crate::replicator::columns::StoreColumns;
use crate::replicator::message::ReplicatorOutbox;
use crate::replicator::store::NodeStore;

/// Configuration of a node over any [`Network`](crate::Network).
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// Name of this node, unique among the live nodes of the cluster.
    pub name: NodeName,
    /// Key of the hash by which nodes compare what they hold: the same on all nodes of a cluster, and secret.
    pub digest_key: [u64; 2],
    /// True if the node has peers, or will have. A store that has never had one stays whole without.
    pub has_peers: bool,
    /// Lower half of the number that identifies this incarnation of a node, which no other incarnation of that node has
    /// had in the same second; random if `None`. A store that replicates has a number of its own.
    pub incarnation: Option<u32>,
    /// Configuration of the node's keyspace. Its clock is the node's.
    pub keyspace: KeyspaceOptions,
    /// Disk that keeps what is counted, if any.
    pub store: Option<ReplicaStoreOptions>,
}

/// Disk on which a node keeps what it and others have counted, and how.
#[derive(Clone, Debug)]
pub struct ReplicaStoreOptions {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Options of the store. Its keyspace has those of the node.
    pub options: StoreOptions,
    /// Goes on with a store that other nodes know a later state of.
    pub accept_rollback: bool,
}

/// Directory in which a node keeps what it and others have counted, and how.
#[derive(Clone, Debug)]
pub struct NodeStoreOptions {
    /// Path of the directory, which is created if necessary.
    pub dir: PathBuf,
    /// Options of the store. Its keyspace has those of the node.
    pub options: StoreOptions,
    /// Goes on with a store that other nodes know a later state of.
    pub accept_rollback: bool,
}

impl NodeStoreOptions {
    /// Opens the directory.
    pub(crate) fn open(self) -> Result<ReplicaStoreOptions, OpenError> {
        let Self { dir, options, accept_rollback } = self;
        Ok(ReplicaStoreOptions { disk: Arc::new(Store::directory(&dir)?), options, accept_rollback })
    }
}

/// State that a node starts with.
pub(crate) struct Opening {
    pub(crate) replication: Replication,
    pub(crate) own: Own,
}

/// A node's own counters, and what makes them durable.
pub(crate) enum Own {
    InMemory(KeyspaceOptions),
    /// A store that has never had a peer, and has none now.
    Alone(Box<Recovered>),
    Replicated(Box<Replicated>),
}

/// A store that replicates.
pub(crate) struct Replicated {
    sealed: Sealed,
    id: StoreId,
    members: BTreeSet<Member>,
    accept_rollback: bool,
}

/// Parts of a node that count and store.
pub(crate) struct Counting {
    pub(crate) keyspace: Keyspace,
    pub(crate) store: Option<Store>,
    /// Part of the store that the replicator needs, if it replicates.
    pub(crate) replicated: Option<NodeStore>,
}

impl Opening {
    /// Creates a node that keeps nothing on disk, or recovers its store.
    pub(crate) async fn of(options: ReplicaOptions) -> Result<Self, OpenError> {
        let ReplicaOptions { name, digest_key, has_peers, incarnation, keyspace, store } = options;
        match store {
            None => Ok(Self::in_memory(name, digest_key, incarnation, keyspace)),
            Some(store) => Self::recover(name, digest_key, incarnation, keyspace, store, has_peers).await,
        }
    }

    /// Creates a node that keeps nothing on disk.
    fn in_memory(name: NodeName, key: [u64; 2], incarnation: Option<u32>, keyspace: KeyspaceOptions) -> Self {
        let me = ReplicaId::new(name, wall_time(&*keyspace.clock), incarnation);
        let own = Own::InMemory(KeyspaceOptions { is_replicated: true, ..keyspace });
        Self { replication: Replication::new(me, key), own }
    }

    /// Recovers a node's store. Unless it has never had a peer and gets none, what it held becomes a column.
    async fn recover(
        name: NodeName,
        key: [u64; 2],
        incarnation: Option<u32>,
        keyspace: KeyspaceOptions,
        ReplicaStoreOptions { disk, options, accept_rollback }: ReplicaStoreOptions,
        has_peers: bool,
    ) -> Result<Self, OpenError> {
        let now = wall_time(&*keyspace.clock);
        let options = StoreOptions { keyspace, ..options };
        let sink = Recovering::new(Ledger::new(key));
        let (recovered, mut sink) = Store::recover_on(disk, options, sink, |_| {}).await?;
        if recovered.own().is_none() && !has_peers {
            let own = Own::Alone(Box::new(recovered));
            return Ok(Self {
                replication: Replication::new(ReplicaId::new(name, now, incarnation), key),
                own,
            });
        }
        let (id, members) = (recovered.id(), recovered.members().cloned().collect());
        let sealed = recovered.seal(name.as_str(), now, &mut sink)?;
        if !sink.ledger.has_room(Source::Relayed) {
            return Err(OpenError::TooManyReplicas);
        }
        let me = ReplicaId { node: name, incarnation: sealed.own().incarnation };
        let replication = Replication::recovered(me, sink.ledger).ok_or(OpenError::TooManyReplicas)?;
        let own = Own::Replicated(Box::new(Replicated { sealed, id, members, accept_rollback }));
        Ok(Self { replication, own })
    }
}

impl Own {
    /// Returns true if the node replicates with nobody.
    pub(crate) const fn is_alone(&self) -> bool {
        matches!(self, Self::Alone(_))
    }

    /// Starts the keyspace, and the store if there is one. A store that replicates takes the columns of others from
    /// `replicator`.
    pub(crate) async fn start(self, replicator: ReplicatorOutbox) -> Result<Counting, NodeError> {
        match self {
            Self::InMemory(options) => {
                Ok(Counting { keyspace: Keyspace::start(options).await?, store: None, replicated: None })
            }
            Self::Alone(recovered) => {
                let (store, keyspace) = recovered.start().await?;
                Ok(Counting { keyspace, store: Some(store), replicated: None })
            }
            Self::Replicated(replicated) => {
                let Replicated { sealed, id, members, accept_rollback } = *replicated;
                let columns = StoreColumns::new(replicator);
                let (store, keyspace) = sealed.start(columns).await?;
                let (members, alarm) = (watch::Sender::new(members), watch::Sender::default());
                let replicated = NodeStore { id, commits: store.commits(), members, accept_rollback, alarm };
                Ok(Counting { keyspace, store: Some(store), replicated: Some(replicated) })
            }
        }
    }
}

/// Returns a clock's time of day.
fn wall_time(clock: &dyn Clock) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(clock.now().wall_ms)
}
