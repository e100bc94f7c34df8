use std::sync::{Arc, Mutex, PoisonError};

use counter_keyspace::{KeyspaceHandle, SessionId};

use crate::error::DurabilityError;
use crate::progress::Inbox;
use crate::sessions::{SessionIssuer, TooManySessions};

/// Handle that opens and closes the sessions of a store. Clones are the same.
#[derive(Clone, Debug)]
pub struct Sessions {
    issuer: Arc<Mutex<SessionIssuer>>,
    inbox: Inbox,
    keyspace: KeyspaceHandle,
}

impl Sessions {
    pub(super) fn new(issuer: SessionIssuer, inbox: Inbox, keyspace: KeyspaceHandle) -> Self {
        Self { issuer: Arc::new(Mutex::new(issuer)), inbox, keyspace }
    }

    /// Opens a session for a client, which it identifies by any text.
    ///
    /// The id is greater than that of any session before, also of those before a crash: it begins with the number of
    /// times that the store has been opened, or with its incarnation if it replicates, which is durable by now.
    ///
    /// # Errors
    /// [`TooManySessions`] if the client has as many open as it may.
    pub fn open(&self, client: &str) -> Result<SessionId, TooManySessions> {
        self.issuer(|sessions| sessions.open(client))
    }

    /// Returns false if this session has never been opened, as [`SessionIssuer::may_have_opened`] does.
    #[must_use]
    pub fn may_have_opened(&self, id: SessionId) -> bool {
        self.issuer(|sessions| sessions.may_have_opened(id))
    }

    /// Closes a session. The records of closed sessions are forgotten once no earlier session is open.
    ///
    /// # Errors
    /// [`DurabilityError`]: the session is closed, but its record may stay until the next one is closed.
    pub async fn close(&self, id: SessionId) -> Result<(), DurabilityError> {
        let floor = self.issuer(|sessions| sessions.close(id));
        self.raise_session_floor(floor).await
    }

    /// Ends the sessions that were opened before the store was opened this time. Nothing else does: their clients may
    /// still be about to retry.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn end_earlier(&self) -> Result<(), DurabilityError> {
        let floor = self.issuer(SessionIssuer::end_earlier);
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

    fn issuer<T>(&self, act: impl FnOnce(&mut SessionIssuer) -> T) -> T {
        act(&mut self.issuer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
