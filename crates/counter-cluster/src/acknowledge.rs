//! Operations that are acknowledged at a level of durability.

use counter_keyspace::{Applied, KeyspaceError, Operation, SessionError, SessionId};
use counter_protocol::CounterName;
use counter_store::{Commits, DurabilityError, OnDiskFailure, Sessions};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::alarm::Alarm;
use crate::durability::{AcknowledgeError, Counted, Durability};
use crate::handle::NodeHandle;
use crate::replicator::COPIES_DEADLINE;
use crate::replicator::message::ReplicatorMessage;

/// The part of the node's store that a handle needs.
#[derive(Clone, Debug)]
pub(crate) struct HandleStore {
    pub(crate) commits: Commits,
    pub(crate) sessions: Sessions,
    pub(crate) on_disk_failure: OnDiskFailure,
    pub(crate) connected: watch::Receiver<usize>,
    pub(crate) alarm: watch::Receiver<Option<Alarm>>,
}

impl NodeHandle {
    /// Adds `amount`, which may be negative, to the counter of this name, with this guarantee.
    ///
    /// # Errors
    /// [`AcknowledgeError`].
    pub async fn increment_at(
        &self,
        name: impl AsRef<[u8]>,
        amount: i64,
        durability: Durability,
    ) -> Result<(), AcknowledgeError> {
        let name = name.as_ref();
        self.check(durability)?;
        self.keyspace().increment(name, amount).await?;
        if durability != Durability::Memory {
            // The answer comes behind the operation: it has been applied then.
            self.keyspace().count(name).await?;
        }
        self.wait(durability).await
    }

    /// Adds `amount` with this guarantee, and returns this node's own outcome, right after this very operation, and
    /// what is known of others.
    ///
    /// # Errors
    /// [`AcknowledgeError`].
    pub async fn add_and_get(
        &self,
        name: impl AsRef<[u8]>,
        amount: i64,
        durability: Durability,
    ) -> Result<Counted, AcknowledgeError> {
        let name = CounterName::new(name.as_ref()).map_err(KeyspaceError::from)?;
        self.check(durability)?;
        let outcome = self.keyspace().add_and_get(name.as_bytes(), amount).await?;
        self.wait(durability).await?;
        Ok(Counted { outcome, others: self.others(&name).await?.0 })
    }

    /// Applies operations with one message per shard, with this guarantee, and returns the outcome of each for this
    /// node's own count alone.
    ///
    /// # Errors
    /// [`AcknowledgeError`].
    pub async fn apply_at<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Applied, AcknowledgeError> {
        self.check(durability)?;
        let applied = self.keyspace().apply(operations).await?;
        self.wait(durability).await?;
        Ok(applied)
    }

    /// Waits until everything that was sent through this handle before has this guarantee.
    ///
    /// # Errors
    /// [`AcknowledgeError`].
    pub async fn flush_at(&self, durability: Durability) -> Result<(), AcknowledgeError> {
        self.check(durability)?;
        self.keyspace().flush().await?;
        self.wait(durability).await
    }

    /// Opens a session for a client, which it identifies by any text. The session is this node's: others refuse it, and
    /// it ends when the node restarts, with the outcome of what was not answered unknown.
    ///
    /// # Errors
    /// [`AcknowledgeError`].
    pub fn open_session(&self, client: &str) -> Result<SessionId, AcknowledgeError> {
        Ok(self.store()?.sessions.open(client)?)
    }

    /// Closes a session.
    ///
    /// # Errors
    /// [`AcknowledgeError`].
    pub async fn close_session(&self, id: SessionId) -> Result<(), AcknowledgeError> {
        Ok(self.store()?.sessions.close(id).await?)
    }

    /// Applies operations as the request of a session with this sequence number, with this guarantee: once, however
    /// often it is sent to this incarnation of the node.
    ///
    /// # Errors
    /// [`AcknowledgeError`]. If the outcome is unknown, a retry will tell, unless the session has ended.
    pub async fn apply_in_session<N: AsRef<[u8]>>(
        &self,
        session: SessionId,
        sequence: u64,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Applied, AcknowledgeError> {
        self.check(durability)?;
        self.check_session(session).await?;
        let applied = self.keyspace().apply_in_session(session, sequence, operations).await?;
        self.wait(durability).await?;
        Ok(applied)
    }

    /// Checks that a session belongs to this incarnation of the node.
    ///
    /// # Errors
    /// [`AcknowledgeError::OtherNode`]; [`SessionError::Expired`] if the incarnation is over.
    pub async fn check_session(&self, session: SessionId) -> Result<(), AcknowledgeError> {
        match self.incarnation {
            Some(mine) if mine != session.incarnation => Err(self.refusal_of(session.incarnation).await?),
            _ => Ok(()),
        }
    }

    fn store(&self) -> Result<&HandleStore, AcknowledgeError> {
        self.store.as_ref().ok_or(AcknowledgeError::NoStore)
    }

    /// Returns why a session of another incarnation is refused: it is another node's, or is over.
    async fn refusal_of(&self, incarnation: u64) -> Result<AcknowledgeError, AcknowledgeError> {
        let node = self.ask(|reply| ReplicatorMessage::GetNode(incarnation, reply)).await?;
        let other = node.filter(|node| *node != self.name);
        Ok(other.map_or(SessionError::Expired.into(), |node| AcknowledgeError::OtherNode { node }))
    }

    /// Checks that this guarantee can be given now.
    fn check(&self, durability: Durability) -> Result<(), AcknowledgeError> {
        let stops = |store: &HandleStore| store.on_disk_failure == OnDiskFailure::Stop;
        if self
            .store
            .as_ref()
            .is_some_and(|store| stops(store) && store.commits.committed().borrow().is_failed)
        {
            return Err(DurabilityError::DiskFailed.into());
        }
        if durability == Durability::Memory {
            return Ok(());
        }
        let store = self.store()?;
        if let Some(alarm) = store.alarm.borrow().clone() {
            return Err(AcknowledgeError::Alarm(alarm));
        }
        let connected = *store.connected.borrow();
        match durability {
            Durability::Replicated(wanted) if wanted.get() > connected => {
                Err(AcknowledgeError::TooFewPeers { wanted: wanted.get(), connected })
            }
            _ => Ok(()),
        }
    }

    /// Waits until what the shards have applied has this guarantee.
    async fn wait(&self, durability: Durability) -> Result<(), AcknowledgeError> {
        match durability {
            Durability::Memory => return Ok(()),
            Durability::Fsync => self.store()?.commits.wait().await?,
            Durability::Replicated(wanted) => self.wait_for_copies(wanted.get()).await?,
        }
        // What was lost meanwhile may be this very operation.
        self.check(Durability::Fsync)
    }

    async fn wait_for_copies(&self, wanted: usize) -> Result<(), AcknowledgeError> {
        let too_few = |copies| Err(AcknowledgeError::TooFewCopies { wanted, copies });
        let commits = &self.store()?.commits;
        let copies = self.ask(|reply| ReplicatorMessage::GetCopies(wanted, COPIES_DEADLINE, reply));
        // The disk's failure is reported at once. Both wait for the same round.
        let both =
            async { tokio::try_join!(async { Ok(commits.wait().await?) }, async { Ok(copies.await?) }) };
        match timeout(COPIES_DEADLINE, both).await {
            Ok(Ok(((), copies))) if copies >= wanted => Ok(()),
            Ok(Ok(((), copies))) => too_few(copies),
            Ok(Err(error)) => Err(error),
            Err(_) => too_few(0),
        }
    }
}
