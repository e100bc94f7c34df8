//! A keyspace and the store that makes it durable.

mod load;
pub(crate) mod open;
mod options;
mod recovered;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use counter_keyspace::{Keyspace, KeyspaceHandle, SessionId};
use tokio::sync::watch;

use crate::commits::Commits;
use crate::disk::{Disk, FsDisk};
use crate::error::{Damage, DurabilityError, OpenError};
use crate::handle::StoreHandle;
use crate::progress::{Committed, Inbox};
use crate::recovery::Progress;
use crate::replicas::SortedColumns;
use crate::sessions::{SessionIssuer, TooManySessions};

pub use load::{Loader, rename_store};
pub use options::{Durability, OnDiskFailure, StoreOptions};
pub use recovered::{Recovered, Sealed};

/// Store that is open. Dropping it stops it after one more round.
#[derive(Debug)]
pub struct Store {
    inbox: Inbox,
    keyspace: KeyspaceHandle,
    options: StoreOptions,
    damage: Option<Damage>,
    sessions: Mutex<SessionIssuer>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store in a directory, which it creates if necessary, and starts the keyspace with the counters that
    /// are in there.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Replicated`] if the store has, or ever had, peers.
    pub async fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Keyspace), OpenError> {
        let disk = FsDisk::create(dir).map_err(OpenError::disk("open the directory"))?;
        Self::open_on(Arc::new(disk), options, |_| {}).await
    }

    /// Opens the store on a disk, and reports how far it is.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Replicated`] if it has, or ever had, peers.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open_on(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<(Self, Keyspace), OpenError> {
        let (recovered, _) = Self::recover_on(disk, options, SortedColumns::default(), progress).await?;
        recovered.start().await
    }

    /// Returns a handle with outboxes of its own.
    #[must_use]
    pub fn handle(&self) -> StoreHandle {
        StoreHandle::new(self.keyspace.clone(), self.inbox.clone(), &self.options)
    }

    /// Waits until everything is durable that was sent before through any handle of the keyspace, as far as there was
    /// room for it.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn flush(&self) -> Result<(), DurabilityError> {
        self.keyspace.flush().await?;
        self.inbox.wait().await
    }

    /// Returns a handle for whoever waits for rounds.
    #[must_use]
    pub fn commits(&self) -> Commits {
        Commits::new(self.inbox.clone())
    }

    /// Returns how far the store is durable, now and later.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Committed> {
        self.inbox.committed()
    }

    /// Returns what was missing when the store was opened, if that was accepted.
    #[must_use]
    pub const fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Opens a session for a client, which it identifies by any text.
    ///
    /// The id is greater than that of any session before, also of those before a crash: it begins with the number of
    /// times that the store has been opened, which was made durable when it was.
    ///
    /// # Errors
    /// [`TooManySessions`] if the client has as many open as it may.
    pub fn open_session(&self, client: &str) -> Result<SessionId, TooManySessions> {
        self.sessions(|sessions| sessions.open(client))
    }

    /// Closes a session. The records of closed sessions are forgotten once no earlier session is open.
    ///
    /// # Errors
    /// [`DurabilityError`]: the session is closed, but its record may stay until the next one is closed.
    pub async fn close_session(&self, id: SessionId) -> Result<(), DurabilityError> {
        let floor = self.sessions(|sessions| sessions.close(id));
        self.raise_session_floor(floor).await
    }

    /// Ends the sessions that were opened before the store was opened this time. Nothing else does: their clients may
    /// still be about to retry.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn end_earlier_sessions(&self) -> Result<(), DurabilityError> {
        let floor = self.sessions(SessionIssuer::end_earlier);
        self.raise_session_floor(floor).await
    }

    /// Raises the floor of sessions: durably for all shards first, and then each shard forgets what is below.
    async fn raise_session_floor(&self, floor: SessionId) -> Result<(), DurabilityError> {
        let failures = self.inbox.committed().borrow().failures;
        self.inbox.end_sessions_below(floor);
        self.inbox.wait_until(failures, |committed| committed.session_floor >= floor).await?;
        self.keyspace.set_session_floor(floor).await?;
        Ok(())
    }

    fn sessions<T>(&self, act: impl FnOnce(&mut SessionIssuer) -> T) -> T {
        act(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops the store after a round with everything that was sent before. Shut the keyspace down after this.
    ///
    /// # Errors
    /// [`DurabilityError`] if that round has failed.
    pub async fn shutdown(mut self) -> Result<(), DurabilityError> {
        let flushed = self.flush().await;
        self.inbox.stop();
        let thread = self.thread.take();
        let joined = tokio::task::spawn_blocking(|| thread.map(JoinHandle::join)).await;
        match joined {
            Ok(Some(Ok(()))) => flushed,
            _ => Err(DurabilityError::Stopped),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.inbox.stop();
    }
}
