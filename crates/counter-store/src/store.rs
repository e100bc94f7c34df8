//! A keyspace and the store that makes it durable.

mod load;
pub(crate) mod open;
mod options;
mod recovered;
mod sessions;

use std::path::Path;
use std::sync::Arc;

use counter_keyspace::{Keyspace, KeyspaceHandle, SessionId};
use tokio::sync::{oneshot, watch};

use crate::commits::Commits;
use crate::disk::{Disk, FsDisk};
use crate::error::{Damage, DurabilityError, OpenError};
use crate::handle::StoreHandle;
use crate::progress::{Committed, Inbox};
use crate::recovery::Progress;
use crate::replicas::SortedColumns;
use crate::sessions::TooManySessions;

pub use load::{Loader, rename_store};
pub use options::{Driver, Durability, OnDiskFailure, StoreOptions};
pub use recovered::{Recovered, Sealed};
pub use sessions::Sessions;

/// Store that is open. Dropping it stops it after one more round.
#[derive(Debug)]
pub struct Store {
    inbox: Inbox,
    keyspace: KeyspaceHandle,
    options: StoreOptions,
    damage: Option<Damage>,
    sessions: Sessions,
    /// Told when the committer has ended in order.
    ended: Option<oneshot::Receiver<()>>,
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

    /// Returns what happens to counting while the disk fails. A [`StoreHandle`] sees to it.
    #[must_use]
    pub const fn on_disk_failure(&self) -> OnDiskFailure {
        self.options.on_disk_failure
    }

    /// Returns what was missing when the store was opened, if that was accepted.
    #[must_use]
    pub const fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Opens a session, as [`Sessions::open`] does.
    ///
    /// # Errors
    /// [`TooManySessions`] if the client has as many open as it may.
    pub fn open_session(&self, client: &str) -> Result<SessionId, TooManySessions> {
        self.sessions.open(client)
    }

    /// Closes a session, as [`Sessions::close`] does.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn close_session(&self, id: SessionId) -> Result<(), DurabilityError> {
        self.sessions.close(id).await
    }

    /// Ends earlier sessions, as [`Sessions::end_earlier`] does.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn end_earlier_sessions(&self) -> Result<(), DurabilityError> {
        self.sessions.end_earlier().await
    }

    /// Returns a handle that opens and closes sessions.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Stops the store after a round with everything that was sent before. Shut the keyspace down after this.
    ///
    /// # Errors
    /// [`DurabilityError`] if that round has failed.
    pub async fn shutdown(mut self) -> Result<(), DurabilityError> {
        let flushed = self.flush().await;
        self.inbox.stop();
        let ended = self.ended.take().ok_or(DurabilityError::Stopped)?;
        ended.await.map_err(|_| DurabilityError::Stopped)?;
        flushed
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.inbox.stop();
    }
}
