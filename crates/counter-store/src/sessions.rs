//! Issues sessions. Pure.

use std::collections::{BTreeMap, HashMap};

use counter_keyspace::SessionId;

/// Error of a client that opens too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client has {limit} open sessions, which is the limit; close one")]
pub struct TooManySessions {
    /// Maximum number of sessions that a client has open.
    pub limit: usize,
}

/// Issues sessions. A [`Store`](crate::Store) has one; a keyspace without a store may be given one.
#[derive(Debug)]
pub struct SessionIssuer {
    incarnation: u64,
    /// Number of the first session.
    first: u64,
    /// Number of the next session.
    next: u64,
    /// Clients of the open sessions, by number.
    open: BTreeMap<u64, Box<str>>,
    /// Number of open sessions, by client.
    clients: HashMap<Box<str>, usize>,
    limit: usize,
    /// Floor as long as sessions of earlier incarnations have not ended.
    earlier: Option<SessionId>,
}

impl SessionIssuer {
    /// Creates the issuer of an incarnation that has recovered this floor, and lets each client have `limit` sessions
    /// open. Their numbers begin with `first`, a random one: a store whose disk was replaced by an empty one has the
    /// same incarnations again, and has to refuse the sessions that were opened before.
    #[must_use]
    pub fn new(incarnation: u64, first: u32, floor: SessionId, limit: usize) -> Self {
        // There is none before the first.
        let earlier = Some(floor).filter(|floor| incarnation > 1 && floor.incarnation < incarnation);
        let first = u64::from(first);
        Self {
            incarnation,
            first,
            next: first,
            open: BTreeMap::new(),
            clients: HashMap::new(),
            limit,
            earlier,
        }
    }

    /// Creates the issuer of an incarnation without earlier sessions, as of a keyspace without a store.
    #[must_use]
    pub fn first(incarnation: u64, limit: usize) -> Self {
        Self::new(incarnation, 1, SessionId { incarnation, number: 0 }, limit)
    }

    /// Opens a session for a client.
    ///
    /// # Errors
    /// [`TooManySessions`].
    pub fn open(&mut self, client: &str) -> Result<SessionId, TooManySessions> {
        let open = self.clients.entry(client.into()).or_default();
        if *open >= self.limit {
            return Err(TooManySessions { limit: self.limit });
        }
        *open += 1;
        let number = self.next;
        self.next += 1;
        self.open.insert(number, client.into());
        Ok(SessionId { incarnation: self.incarnation, number })
    }

    /// Returns false if this session has never been opened. Of earlier incarnations, any may have been.
    #[must_use]
    pub const fn may_have_opened(&self, SessionId { incarnation, number }: SessionId) -> bool {
        incarnation < self.incarnation
            || (incarnation == self.incarnation && self.first <= number && number < self.next)
    }

    /// Closes a session, if it is open, and returns the floor: all sessions below have ended.
    pub fn close(&mut self, SessionId { incarnation, number }: SessionId) -> SessionId {
        if incarnation == self.incarnation
            && let Some(client) = self.open.remove(&number)
            && let Some(open) = self.clients.get_mut(&client)
        {
            *open -= 1;
            if *open == 0 {
                self.clients.remove(&client);
            }
        }
        self.floor()
    }

    /// Ends the sessions of earlier incarnations, and returns the floor.
    pub(crate) fn end_earlier(&mut self) -> SessionId {
        self.earlier = None;
        self.floor()
    }

    /// Returns the session below which all have ended.
    fn floor(&self) -> SessionId {
        let first = self.open.keys().next().copied().unwrap_or(self.next);
        self.earlier.unwrap_or(SessionId { incarnation: self.incarnation, number: first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(incarnation: u64, number: u64) -> SessionId {
        SessionId { incarnation, number }
    }

    #[test]
    fn the_floor_is_the_first_open_session_and_earlier_ones_hold_it_until_they_are_ended() {
        let mut issuer = SessionIssuer::new(3, 1, id(1, 7), 9);
        let [a, b, c] = [1, 2, 3].map(|_| issuer.open("client").unwrap());
        assert_eq!([a, b, c], [id(3, 1), id(3, 2), id(3, 3)]);
        assert_eq!(issuer.close(a), id(1, 7));
        assert_eq!(issuer.end_earlier(), b);
        assert_eq!(issuer.close(c), b);
        assert_eq!(issuer.close(c), b);
        assert_eq!(issuer.close(b), id(3, 4));
    }

    #[test]
    fn the_first_incarnation_has_no_earlier_sessions_that_hold_the_floor() {
        let mut issuer = SessionIssuer::new(1, 1, id(0, 0), 9);
        let first = issuer.open("client").unwrap();
        assert_eq!(issuer.close(first), id(1, 2));
    }

    #[test]
    fn what_was_opened_is_told_from_what_was_not() {
        let mut issuer = SessionIssuer::new(3, 1, id(1, 7), 9);
        assert!(!issuer.may_have_opened(id(3, 1)));
        let first = issuer.open("client").unwrap();
        issuer.close(first);
        assert!(issuer.may_have_opened(first) && issuer.may_have_opened(id(2, u64::MAX)));
        assert!(!issuer.may_have_opened(id(3, 2)) && !issuer.may_have_opened(id(4, 1)));
    }

    #[test]
    fn sessions_of_a_store_that_was_there_before_have_never_been_opened() {
        let mut before = SessionIssuer::new(1, 100, id(0, 0), 9);
        let mut issuer = SessionIssuer::new(1, 200, id(0, 0), 9);
        assert_eq!(issuer.open("client"), Ok(id(1, 200)));
        assert!(!issuer.may_have_opened(before.open("client").unwrap()));
    }

    #[test]
    fn a_client_at_its_limit_has_to_close_a_session_and_others_do_not() {
        let mut issuer = SessionIssuer::new(1, 1, id(0, 0), 1);
        let first = issuer.open("a").unwrap();
        assert_eq!(issuer.open("a"), Err(TooManySessions { limit: 1 }));
        issuer.open("b").unwrap();
        issuer.close(first);
        issuer.open("a").unwrap();
    }
}
