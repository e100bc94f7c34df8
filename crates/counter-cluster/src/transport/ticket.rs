use std::fmt;

use serde::{Deserialize, Serialize};

use super::random::random_bytes;

/// Length of a ticket.
const TICKET_BYTES: usize = 16;

/// Proof that a message comes from the peer of a connection: random bytes that one end issued to the other, inside TLS
/// if there is TLS. `ractor_cluster` does not tell an actor who sent a message, so the sender presents its ticket in
/// it, and [`Peers::verify`](super::Peers::verify) gives its name. Whoever learns it can speak in that name for as
/// long as the connection lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket([u8; TICKET_BYTES]);

impl Ticket {
    pub(super) const BYTES: usize = TICKET_BYTES;

    /// A ticket that nobody has.
    pub(super) fn issue() -> Self {
        Self(random_bytes())
    }

    pub(super) const fn from_bytes(bytes: [u8; TICKET_BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Without its bytes, so that no log has them.
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
