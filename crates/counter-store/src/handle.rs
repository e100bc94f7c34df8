use counter_keyspace::{Applied, KeyspaceError, KeyspaceHandle, Operation, Outcome, SessionId};

use crate::error::DurabilityError;
use crate::progress::Inbox;
use crate::store::{Durability, OnDiskFailure, StoreOptions};

/// Handle on a durable keyspace. Clones have outboxes of their own, so give each sender one.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    keyspace: KeyspaceHandle,
    inbox: Inbox,
    durability: Durability,
    on_disk_failure: OnDiskFailure,
}

impl StoreHandle {
    pub(crate) const fn new(keyspace: KeyspaceHandle, inbox: Inbox, options: &StoreOptions) -> Self {
        let StoreOptions { durability, on_disk_failure, .. } = *options;
        Self { keyspace, inbox, durability, on_disk_failure }
    }

    /// Adds `amount`, which may be negative, to the counter of this name, and creates the counter if there is none.
    /// Returns with the store's default guarantee.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn increment(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<(), DurabilityError> {
        self.increment_at(name, amount, self.durability).await
    }

    /// Adds `amount` like [`increment`](Self::increment), with this guarantee.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn increment_at(
        &self,
        name: impl AsRef<[u8]>,
        amount: i64,
        durability: Durability,
    ) -> Result<(), DurabilityError> {
        self.check()?;
        let name = name.as_ref();
        self.keyspace.increment(name, amount).await?;
        match durability {
            Durability::Memory => Ok(()),
            Durability::Fsync => {
                // The answer comes behind the operation: it has been applied then, in this round or an earlier one.
                self.keyspace.count(name).await?;
                self.inbox.wait().await
            }
        }
    }

    /// Adds `amount`, and returns the value right after this very operation, or the rejection.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn add_and_get_at(
        &self,
        name: impl AsRef<[u8]>,
        amount: i64,
        durability: Durability,
    ) -> Result<Outcome, DurabilityError> {
        self.check()?;
        let outcome = self.keyspace.add_and_get(name, amount).await?;
        // A rejection waits, too: what it is based on has to be durable.
        self.durable(durability).await?;
        Ok(outcome)
    }

    /// Applies operations with one message per shard, and returns the outcome of each.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn apply_at<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Applied, DurabilityError> {
        self.check()?;
        let applied = self.keyspace.apply(operations).await?;
        self.durable(durability).await?;
        Ok(applied)
    }

    /// Applies operations as the request of a session with this sequence number: once, however often it is sent, also
    /// across crashes if it was answered at [`Durability::Fsync`].
    ///
    /// # Errors
    /// [`DurabilityError`]. If the outcome is unknown, a retry will tell.
    pub async fn apply_in_session_at<N: AsRef<[u8]>>(
        &self,
        session: SessionId,
        sequence: u64,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Applied, DurabilityError> {
        self.check()?;
        let applied = self.keyspace.apply_in_session(session, sequence, operations).await?;
        self.durable(durability).await?;
        Ok(applied)
    }

    /// Removes a counter with the store's default guarantee, and returns its last value.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn remove(&self, name: impl AsRef<[u8]>) -> Result<Option<i64>, DurabilityError> {
        self.check()?;
        let removed = self.keyspace.remove(name).await?;
        self.durable(self.durability).await?;
        Ok(removed.map(|count| count.value))
    }

    /// Returns the value of a counter, if there is one. With [`Durability::Fsync`] it is durable.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn value_at(
        &self,
        name: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<Option<i64>, DurabilityError> {
        let value = self.keyspace.value(name).await?;
        self.durable(durability).await?;
        Ok(value)
    }

    /// Waits until everything that was sent through this handle before is durable.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn flush(&self) -> Result<(), DurabilityError> {
        self.keyspace.flush().await?;
        self.inbox.wait().await
    }

    /// Returns the handle on the keyspace, for everything that need not wait for the disk.
    #[must_use]
    pub const fn keyspace(&self) -> &KeyspaceHandle {
        &self.keyspace
    }

    /// Waits until what the shards have answered is durable.
    async fn durable(&self, durability: Durability) -> Result<(), DurabilityError> {
        match durability {
            Durability::Memory => Ok(()),
            Durability::Fsync => self.inbox.wait().await,
        }
    }

    fn check(&self) -> Result<(), DurabilityError> {
        let committed = self.inbox.committed();
        let committed = committed.borrow();
        if committed.is_stopped {
            return Err(KeyspaceError::Stopped.into());
        }
        match self.on_disk_failure {
            OnDiskFailure::Stop if committed.is_failed => Err(DurabilityError::DiskFailed),
            OnDiskFailure::Stop | OnDiskFailure::Continue => Ok(()),
        }
    }
}
