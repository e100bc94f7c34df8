//! A keyspace and the store that makes it durable.

mod load;
pub(crate) mod open;
mod options;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use counter_keyspace::{Keyspace, KeyspaceHandle, SessionId};
use tokio::runtime;
use tokio::sync::watch;

use crate::committer::{self, Committer, Timing};
use crate::disk::{Disk, FsDisk};
use crate::error::{Damage, DurabilityError, OpenError};
use crate::handle::StoreHandle;
use crate::progress::{Committed, Inbox};
use crate::recovery::Progress;
use crate::sessions::{SessionIssuer, TooManySessions};
use crate::source::FeedSource;

use open::Opened;

pub use load::{Loader, rename_store};
pub use options::{Durability, OnDiskFailure, StoreOptions};

/// Time between two steps of a snapshot, each of which writes or reads a few hundred kilobytes.
const STEP_INTERVAL: Duration = Duration::from_millis(2);

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
    /// [`OpenError`].
    pub async fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Keyspace), OpenError> {
        let disk = FsDisk::create(dir).map_err(OpenError::disk("open the directory"))?;
        Self::open_on(Arc::new(disk), options, |_| {}).await
    }

    /// Opens the store on a disk, and reports how far it is.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open_on(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<(Self, Keyspace), OpenError> {
        let opening = tokio::task::spawn_blocking({
            let options = options.clone();
            move || Opened::open(disk, &options, progress)
        });
        let opened = opening.await.map_err(|error| OpenError::Keyspace(error.into()))??;
        Self::start(opened, options).await
    }

    /// Starts the keyspace and the committer.
    async fn start(opened: Opened, options: StoreOptions) -> Result<(Self, Keyspace), OpenError> {
        let shards = opened.shards;
        let resumed = Keyspace::resume_from(options.keyspace.clone(), shards).await;
        let (keyspace, feed) = resumed.map_err(|error| OpenError::Keyspace(error.into()))?;
        let source = FeedSource::new(keyspace.handle(), feed, runtime::Handle::current());
        let floor = opened.ends.iter().map(|end| end.session_floor).max().unwrap_or_default();
        let issuer = SessionIssuer::new(opened.writers.log.header().incarnation, floor, options.max_sessions);
        let mut committer = Committer::new(opened.disk, opened.writers, source, opened.ends);
        if opened.needs_complete {
            committer.require_complete();
        }
        let (sender, receiver) = watch::channel(Committed::default());
        let inbox = Inbox::new(receiver);
        let timing = Timing { round_interval: options.round_interval, step_interval: STEP_INTERVAL };
        let thread = spawn(committer, timing, inbox.clone(), sender, opened.lock)?;
        let store = Self {
            inbox,
            keyspace: keyspace.handle(),
            options,
            damage: opened.damage,
            sessions: Mutex::new(issuer),
            thread: Some(thread),
        };
        if opened.needs_complete {
            // What was missing is made good for, or what was distributed anew is so durably, before anybody counts.
            store.inbox.wait().await.map_err(|error| OpenError::Keyspace(error.into()))?;
        }
        Ok((store, keyspace))
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

/// Starts the committer's thread, which holds the lock.
fn spawn(
    committer: Committer<FeedSource>,
    timing: Timing,
    inbox: Inbox,
    committed: watch::Sender<Committed>,
    lock: Box<dyn Debug + Send + Sync>,
) -> Result<JoinHandle<()>, OpenError> {
    let run = move || {
        committer::run(committer, timing, &inbox, &committed);
        drop(lock);
    };
    let started: io::Result<_> = Builder::new().name("committer".into()).spawn(run);
    started.map_err(OpenError::disk("start a thread"))
}
