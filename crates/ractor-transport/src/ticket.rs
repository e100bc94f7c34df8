use std::fmt;

use serde::{Deserialize, Serialize};

use crate::random::random_bytes;

/// Length of a ticket, in bytes.
const TICKET_BYTES: usize = 16;

/// Proof that a message comes from the peer of a connection.
///
/// It consists of random bytes that one end has issued to the other, inside TLS if there is TLS. `ractor_cluster` does
/// not tell an actor who sent a message, so the sender presents its ticket in the message, and
/// [`Peers::verify`](crate::Peers::verify) returns the sender's name. Whoever learns a ticket can speak in that name as
/// long as the connection lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket([u8; TICKET_BYTES]);

impl Ticket {
    pub(crate) const BYTES: usize = TICKET_BYTES;

    /// Makes a new ticket.
    pub(crate) fn issue() -> Self {
        Self(random_bytes())
    }

    pub(crate) const fn from_bytes(bytes: [u8; TICKET_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Hides the bytes, so that no log has them.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_differ_and_debug_hides_them() {
        assert_ne!(Ticket::issue(), Ticket::issue());
        assert_eq!(format!("{:?}", Ticket::issue()), "Ticket(..)");
    }
}
