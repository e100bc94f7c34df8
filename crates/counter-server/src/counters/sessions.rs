//! Sessions, and how clients write them.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use counter_keyspace::{KeyspaceHandle, Operation, Outcome, SessionId};
use counter_store::SessionIssuer;

use super::{Counters, CountersError, Durability, Handle, Kind, on_disk};
use crate::digits;

/// Error of whoever wants a session where increments go through a log.
const NO_SESSIONS: CountersError = CountersError::NotOnTopic { command: "a session" };

/// Session as a text for clients, such as `3.17`: the incarnation of the store, and the number of the session in it.
///
/// ```
/// use counter_server::SessionToken;
///
/// let token: SessionToken = "3.17".parse()?;
/// assert_eq!((token.0.incarnation, token.0.number), (3, 17));
/// assert_eq!(token.to_string(), "3.17");
/// # Ok::<_, counter_server::InvalidSession>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken(pub SessionId);

/// Error of a text that is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid session")]
pub struct InvalidSession;

impl fmt::Display for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.incarnation, self.0.number)
    }
}

impl FromStr for SessionToken {
    type Err = InvalidSession;

    fn from_str(text: &str) -> Result<Self, InvalidSession> {
        let (incarnation, number) = text.split_once('.').ok_or(InvalidSession)?;
        let parse = |digits: &str| digits::number(digits.as_bytes()).ok_or(InvalidSession);
        Ok(Self(SessionId { incarnation: parse(incarnation)?, number: parse(number)? }))
    }
}

impl Counters {
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
            Handle::Topic(_) => return Err(NO_SESSIONS),
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
            Kind::Topic => return Err(NO_SESSIONS),
        })
    }

    /// Closes a session.
    ///
    /// # Errors
    /// [`CountersError`]: the session is closed, but its record may stay until the next one is closed.
    pub async fn close_session(&self, id: SessionId) -> Result<(), CountersError> {
        match &self.backend.kind {
            Kind::Memory(sessions) => close_in_memory(sessions, self.keyspace()?, id).await?,
            Kind::Store(store) => store.close_session(id).await?,
            Kind::Node(sessions) => sessions.close(id).await?,
            Kind::Topic => return Err(NO_SESSIONS),
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
            Kind::Memory(_) | Kind::Node(_) | Kind::Topic => Ok(()),
            Kind::Store(store) => Ok(store.end_earlier_sessions().await?),
        }
    }

    fn may_have_opened(&self, session: SessionId) -> bool {
        match &self.backend.kind {
            Kind::Memory(sessions) => lock(sessions).may_have_opened(session),
            Kind::Store(store) => store.sessions().may_have_opened(session),
            // The node tells its own sessions from those of others.
            Kind::Node(_) | Kind::Topic => true,
        }
    }
}

/// Closes a session of counters in memory, and forgets the records below the floor.
pub(super) async fn close_in_memory(
    sessions: &Mutex<SessionIssuer>,
    keyspace: &KeyspaceHandle,
    id: SessionId,
) -> Result<(), CountersError> {
    let floor = lock(sessions).close(id);
    keyspace.set_session_floor(floor).await?;
    Ok(())
}

pub(super) fn lock(sessions: &Mutex<SessionIssuer>) -> MutexGuard<'_, SessionIssuer> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}
