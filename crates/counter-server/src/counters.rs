//! Everything that a front end may ask.

mod changes;
mod cluster;
mod error;
mod node;
mod positions;
mod reading;
mod sessions;
mod topic;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counter_keyspace::{Keyspace, KeyspaceHandle, Operation, Outcome, PageToken};
use counter_store::{Committed, SessionIssuer, Store, StoreHandle};
use counter_stream::kafka::Lag;
use tokio::sync::watch;

use crate::on_demand::OnDemand;
use node::{NodeCounters, NodeSessions};

pub(crate) use cluster::Refusal;
pub(crate) use node::of_cluster;
pub(crate) use topic::TopicCounters;

pub use changes::{Change, ChangedCounters, Subscription};
pub use counter_cluster::Durability;
pub use error::CountersError;
pub use positions::{InvalidPositions, Positions};
pub use sessions::{InvalidSession, SessionToken};
pub use topic::{LagStatus, PartitionStatus, TopicStatus};

/// Named counters, with outboxes of its own: clone it for each connection.
///
/// Questions see everything that was sent through the same clone before.
#[derive(Clone, Debug)]
pub struct Counters {
    handle: Handle,
    backend: Arc<Backend>,
}

/// Destination of operations.
#[derive(Clone, Debug)]
enum Handle {
    Memory(KeyspaceHandle),
    Store(StoreHandle),
    Node(NodeCounters),
    Topic(TopicCounters),
}

#[derive(Debug)]
struct Backend {
    kind: Kind,
    durability: Durability,
    allows_removal_of_all: bool,
    changes: OnDemand<Change>,
    /// Number of batches that have been sent and not been answered yet.
    waiting: AtomicU64,
}

/// Batch that is counted as waiting while this lives.
#[derive(Debug)]
struct Waiting<'a>(&'a AtomicU64);

#[derive(Debug)]
enum Kind {
    Memory(Mutex<SessionIssuer>),
    Store(Box<Store>),
    Node(Box<NodeSessions>),
    /// There is nothing that a session would add.
    Topic,
}

/// Outcome of operations.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Outcomes, in order.
    pub outcomes: Vec<Outcome>,
    /// Positions in the log behind what was written, if counters follow a topic.
    pub positions: Positions,
    /// Lag of the values behind the log, if counters follow a topic and it is known.
    pub lag: Option<Lag>,
}

impl Counters {
    /// Creates counters that end with the process, of which each client has up to `max_sessions` sessions open.
    #[must_use]
    pub fn in_memory(keyspace: &Keyspace, max_sessions: usize) -> Self {
        // Sessions end with the process: one of another process has another incarnation.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let sessions = SessionIssuer::first(seconds, max_sessions);
        Self::new(Handle::Memory(keyspace.handle()), Kind::Memory(sessions.into()), Durability::Memory)
    }

    /// Creates counters that are durable.
    #[must_use]
    pub fn durable(store: Store, default_durability: Durability) -> Self {
        Self::new(Handle::Store(store.handle()), Kind::Store(store.into()), default_durability)
    }

    /// Creates counters that follow a topic.
    pub(crate) fn of_topic(topic: TopicCounters) -> Self {
        Self::new(Handle::Topic(topic), Kind::Topic, Durability::Memory)
    }

    /// Returns the topic that the counters follow, if they do.
    pub(crate) const fn topic(&self) -> Option<&TopicCounters> {
        match &self.handle {
            Handle::Topic(topic) => Some(topic),
            Handle::Memory(_) | Handle::Store(_) | Handle::Node(_) => None,
        }
    }

    /// Returns true if counters survive the server.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.committed().is_some() || self.topic().is_some()
    }

    fn new(handle: Handle, kind: Kind, durability: Durability) -> Self {
        let (changes, waiting) = (OnDemand::default(), AtomicU64::new(0));
        let backend = Backend { kind, durability, allows_removal_of_all: false, changes, waiting };
        Self { handle, backend: Arc::new(backend) }
    }

    /// Allows [`remove_all`](Self::remove_all) or not. Has an effect before the first clone.
    #[must_use]
    pub fn allowing_removal_of_all(mut self, allows: bool) -> Self {
        if let Some(backend) = Arc::get_mut(&mut self.backend) {
            backend.allows_removal_of_all = allows;
        }
        self
    }

    /// Applies operations with one message per shard, and returns their outcomes in order, with this guarantee.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn apply<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, CountersError> {
        Ok(self.apply_within(operations, durability, None).await?.outcomes)
    }

    /// Applies operations. If counters follow a topic, increments have `wait` to be counted here, or a time that the
    /// server's options say.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn apply_within<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
        wait: Option<Duration>,
    ) -> Result<Applied, CountersError> {
        let _waiting = self.wait();
        let outcomes = match &self.handle {
            Handle::Memory(keyspace) => {
                Self::check_durability(durability)?;
                keyspace.apply(operations).await?.outcomes
            }
            Handle::Store(store) => store.apply_at(operations, on_disk(durability)?).await?.outcomes,
            Handle::Node(node) => node.apply(operations, durability).await?,
            Handle::Topic(topic) => return topic.apply(operations, durability, wait).await,
        };
        Ok(Applied { outcomes, ..Applied::default() })
    }

    /// Adds an amount, which may be negative, without an answer. Waits for room if too many names wait to be counted,
    /// but not until the amount is applied or durable.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn increment(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<(), CountersError> {
        match &self.handle {
            Handle::Memory(keyspace) => keyspace.increment(name, amount).await?,
            Handle::Store(store) => {
                store.increment_at(name, amount, counter_store::Durability::Memory).await?
            }
            Handle::Node(node) => node.0.increment_at(name, amount, Durability::Memory).await?,
            Handle::Topic(topic) => topic.increment(name.as_ref(), amount).await?,
        }
        Ok(())
    }

    /// Removes all counters, page by page: those that are created meanwhile may stay.
    ///
    /// # Errors
    /// [`CountersError::RemovalForbidden`] unless that is allowed.
    pub async fn remove_all(&self) -> Result<(), CountersError> {
        if let Some(refusal) = self.one_owner_refusal() {
            return Err(refusal("remove"));
        }
        if !self.backend.allows_removal_of_all {
            return Err(CountersError::RemovalForbidden);
        }
        let mut next = Some(PageToken::default());
        while let Some(token) = next {
            let (page, following) = self.scan_up_to(token, usize::MAX).await?;
            let removals = page.iter().map(|(name, _)| (name.as_bytes(), Operation::RemoveAndGet));
            self.apply(removals, Durability::Memory).await?;
            next = following;
        }
        Ok(())
    }

    /// Returns the version of each shard: the number of messages that may have changed it.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn versions(&self) -> Result<Vec<u64>, CountersError> {
        Ok(self.keyspace()?.versions().await?.into_iter().map(|version| version.version).collect())
    }

    /// Returns the changes from now on: with a store, once they are durable. In a cluster they are those that were
    /// counted here, with the sums that they led to.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn subscribe(&self) -> Result<Subscription, CountersError> {
        let (feed, committed, node) = (self.keyspace()?.follow(), self.committed(), self.cluster().cloned());
        let publish = |feed, publisher| changes::publish(feed, committed, node, publisher);
        let prepare = changes::skip_present(feed);
        Ok(Subscription(self.backend.changes.subscribe(changes::PAGES_BEHIND, prepare, publish).await?))
    }

    /// Returns the number of batches that have been sent through any clone and not been answered yet.
    #[must_use]
    pub fn batches_waiting(&self) -> u64 {
        self.backend.waiting.load(Ordering::Relaxed)
    }

    /// Waits until everything that was sent through this clone before has this guarantee.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn flush(&self, durability: Durability) -> Result<(), CountersError> {
        match &self.handle {
            Handle::Memory(keyspace) => {
                Self::check_durability(durability)?;
                keyspace.flush().await?;
            }
            Handle::Store(store) => match on_disk(durability)? {
                counter_store::Durability::Memory => store.keyspace().flush().await?,
                counter_store::Durability::Fsync => store.flush().await?,
            },
            Handle::Node(node) => node.0.flush_at(durability).await?,
            Handle::Topic(topic) => topic.flush().await?,
        }
        Ok(())
    }

    /// Makes everything durable and closes the store, if this is the last clone; otherwise the last one will.
    pub(crate) async fn shutdown(self) -> Result<(), CountersError> {
        let Self { handle, backend } = self;
        if let Handle::Topic(topic) = &handle {
            topic.flush().await?;
        }
        drop(handle);
        match Arc::try_unwrap(backend) {
            Ok(Backend { kind: Kind::Store(store), .. }) => store.shutdown().await?,
            Ok(Backend { kind: Kind::Memory(_) | Kind::Node(_) | Kind::Topic, .. }) => {}
            Err(shared) => {
                if let Kind::Store(store) = &shared.kind {
                    store.flush().await?;
                }
            }
        }
        Ok(())
    }

    /// Returns the guarantee of requests that do not ask for another.
    #[must_use]
    pub fn default_durability(&self) -> Durability {
        self.backend.durability
    }

    /// Returns how far the store has come, if the counters are durable.
    #[must_use]
    pub fn committed(&self) -> Option<watch::Receiver<Committed>> {
        match &self.backend.kind {
            Kind::Memory(_) => None,
            Kind::Store(store) => Some(store.committed()),
            Kind::Node(node) => node.committed(),
            Kind::Topic => None,
        }
    }

    fn check_durability(durability: Durability) -> Result<(), CountersError> {
        match durability {
            Durability::Memory => Ok(()),
            Durability::Fsync | Durability::Replicated(_) => Err(CountersError::NotDurable),
        }
    }

    fn wait(&self) -> Waiting<'_> {
        self.backend.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.backend.waiting)
    }

    fn keyspace(&self) -> Result<&KeyspaceHandle, CountersError> {
        Ok(match &self.handle {
            Handle::Memory(keyspace) => keyspace,
            Handle::Store(store) => store.keyspace(),
            Handle::Node(node) => node.0.keyspace(),
            Handle::Topic(_) => return Err(CountersError::NotOnTopic { command: "a feed of changes" }),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns a guarantee as a store gives it, which has no other nodes.
fn on_disk(durability: Durability) -> Result<counter_store::Durability, CountersError> {
    match durability {
        Durability::Memory => Ok(counter_store::Durability::Memory),
        Durability::Fsync => Ok(counter_store::Durability::Fsync),
        Durability::Replicated(wanted) => {
            Err(CountersError::TooFewPeers { wanted: wanted.get(), connected: 0 })
        }
    }
}
