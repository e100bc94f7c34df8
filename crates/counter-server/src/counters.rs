//! Everything that a front end may ask.

mod changes;
mod cluster;
mod error;
mod node;
mod sessions;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use counter_keyspace::{Keyspace, KeyspaceHandle, Operation, Outcome, Page, PageToken, SessionId};
use counter_protocol::{AggregatedStats, Count, CounterName};
use counter_store::{Committed, SessionIssuer, Store, StoreHandle};
use tokio::sync::watch;

use crate::on_demand::OnDemand;
use node::{NodeCounters, NodeSessions};

pub(crate) use node::of_cluster;

pub use changes::{Change, ChangedCounters, Subscription};
pub use counter_cluster::Durability;
pub use error::CountersError;
pub use sessions::{InvalidSession, SessionToken};

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
        let _waiting = self.wait();
        Ok(match &self.handle {
            Handle::Memory(keyspace) => {
                Self::check_durability(durability)?;
                keyspace.apply(operations).await?.outcomes
            }
            Handle::Store(store) => store.apply_at(operations, on_disk(durability)?).await?.outcomes,
            Handle::Node(node) => node.apply(operations, durability).await?,
        })
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
        }
        Ok(())
    }

    /// Returns the value and the number of operations of a counter as it stands, whether that is durable or not.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn count(&self, name: impl AsRef<[u8]>) -> Result<Option<Count>, CountersError> {
        match self.cluster() {
            Some(node) => node.count(name.as_ref()).await,
            None => Ok(self.keyspace().count(name).await?),
        }
    }

    /// Applies operations as the request of a session with this sequence number: once, however often it is sent.
    ///
    /// # Errors
    /// [`CountersError`]. If the outcome is unknown, a retry will tell.
    pub async fn apply_in_session<N: AsRef<[u8]>>(
        &self,
        session: SessionId,
        sequence: u64,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, CountersError> {
        let _waiting = self.wait();
        if !self.may_have_opened(session) {
            return Err(CountersError::SessionExpired);
        }
        Ok(match &self.handle {
            Handle::Memory(keyspace) => {
                Self::check_durability(durability)?;
                keyspace.apply_in_session(session, sequence, operations).await?.outcomes
            }
            Handle::Store(store) => {
                store.apply_in_session_at(session, sequence, operations, on_disk(durability)?).await?.outcomes
            }
            Handle::Node(node) => node.apply_in_session(session, sequence, operations, durability).await?,
        })
    }

    /// Opens a session for a client, which it identifies by any text.
    ///
    /// # Errors
    /// [`CountersError::TooManySessions`] if the client has as many open as it may.
    pub fn open_session(&self, client: &str) -> Result<SessionId, CountersError> {
        Ok(match &self.backend.kind {
            Kind::Memory(sessions) => lock(sessions).open(client)?,
            Kind::Store(store) => store.open_session(client)?,
            Kind::Node(sessions) => sessions.open(client)?,
        })
    }

    /// Closes a session.
    ///
    /// # Errors
    /// [`CountersError`]: the session is closed, but its record may stay until the next one is closed.
    pub async fn close_session(&self, id: SessionId) -> Result<(), CountersError> {
        match &self.backend.kind {
            Kind::Memory(sessions) => close_in_memory(sessions, self.keyspace(), id).await?,
            Kind::Store(store) => store.close_session(id).await?,
            Kind::Node(sessions) => sessions.close(id).await?,
        }
        Ok(())
    }

    /// Ends the sessions that were opened before the store was opened this time, and forgets their records.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn end_earlier_sessions(&self) -> Result<(), CountersError> {
        match &self.backend.kind {
            // There are none: they end with the process, or with the incarnation of the node.
            Kind::Memory(_) | Kind::Node(_) => Ok(()),
            Kind::Store(store) => Ok(store.end_earlier_sessions().await?),
        }
    }

    /// Removes all counters, page by page: those that are created meanwhile may stay.
    ///
    /// # Errors
    /// [`CountersError::RemovalForbidden`] unless that is allowed.
    pub async fn remove_all(&self) -> Result<(), CountersError> {
        if !self.backend.allows_removal_of_all {
            return Err(CountersError::RemovalForbidden);
        }
        if self.is_replicated() {
            return Err(CountersError::NeedsOneOwner { command: "remove" });
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

    /// Returns one page of up to `max_counters` counters, at least one, and the position of the next. A counter that
    /// exists throughout a scan is in at least one page.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn scan_up_to(
        &self,
        token: PageToken,
        max_counters: usize,
    ) -> Result<(Page, Option<PageToken>), CountersError> {
        self.scan_prefix(token, max_counters, b"").await
    }

    /// Returns one page of up to `max_counters` counters whose names begin with `prefix`, like
    /// [`scan_up_to`](Self::scan_up_to).
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn scan_prefix(
        &self,
        token: PageToken,
        max_counters: usize,
        prefix: &[u8],
    ) -> Result<(Page, Option<PageToken>), CountersError> {
        match self.cluster() {
            Some(node) => node.scan(token, max_counters, prefix).await,
            None => Ok(self.keyspace().scan_prefix(token, max_counters, prefix).await?),
        }
    }

    /// Returns the `n` counters with the largest values, those of equal value in order of name.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn top(&self, n: usize) -> Result<Vec<(CounterName, Count)>, CountersError> {
        match self.cluster() {
            Some(node) => node.top(n).await,
            None => Ok(self.keyspace().top(n).await?),
        }
    }

    /// Returns the totals of all counters. In a cluster, rejections and restarts are this node's.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn stats(&self) -> Result<AggregatedStats, CountersError> {
        match self.cluster() {
            Some(node) => node.stats().await,
            None => Ok(self.keyspace().stats().await?),
        }
    }

    /// Returns the totals of each shard, which has what was counted here since the start in a cluster.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn shard_stats(&self) -> Result<Vec<AggregatedStats>, CountersError> {
        Ok(self.keyspace().shard_stats().await?)
    }

    /// Returns the version of each shard: the number of messages that may have changed it.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn versions(&self) -> Result<Vec<u64>, CountersError> {
        Ok(self.keyspace().versions().await?.into_iter().map(|version| version.version).collect())
    }

    /// Returns the changes from now on: with a store, once they are durable. In a cluster they are those that were
    /// counted here, with the sums that they led to.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn subscribe(&self) -> Result<Subscription, CountersError> {
        let (feed, committed, node) = (self.keyspace().follow(), self.committed(), self.cluster().cloned());
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
        }
        Ok(())
    }

    /// Makes everything durable and closes the store, if this is the last clone; otherwise the last one will.
    pub(crate) async fn shutdown(self) -> Result<(), CountersError> {
        let Self { handle, backend } = self;
        drop(handle);
        match Arc::try_unwrap(backend) {
            Ok(Backend { kind: Kind::Store(store), .. }) => store.shutdown().await?,
            Ok(Backend { kind: Kind::Memory(_) | Kind::Node(_), .. }) => {}
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
        }
    }

    fn may_have_opened(&self, session: SessionId) -> bool {
        match &self.backend.kind {
            Kind::Memory(sessions) => lock(sessions).may_have_opened(session),
            Kind::Store(store) => store.sessions().may_have_opened(session),
            // The node tells its own sessions from those of others.
            Kind::Node(_) => true,
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

    fn keyspace(&self) -> &KeyspaceHandle {
        match &self.handle {
            Handle::Memory(keyspace) => keyspace,
            Handle::Store(store) => store.keyspace(),
            Handle::Node(node) => node.0.keyspace(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes a session of counters in memory, and forgets the records below the floor.
async fn close_in_memory(
    sessions: &Mutex<SessionIssuer>,
    keyspace: &KeyspaceHandle,
    id: SessionId,
) -> Result<(), CountersError> {
    let floor = lock(sessions).close(id);
    keyspace.set_session_floor(floor).await?;
    Ok(())
}

fn lock(sessions: &Mutex<SessionIssuer>) -> MutexGuard<'_, SessionIssuer> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
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
