use std::time::Duration;

use ractor_supervision::Backoff;

/// Bounds on the number of connections, and deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Accepted connections whose peers have proved themselves. While there are as many, one more is closed at once.
    pub connections: usize,
    /// Accepted connections whose peers have not proved themselves yet. One more is accepted still, and the oldest one
    /// of the address with the most is closed instead.
    pub handshakes: usize,
    /// How many of them may be from one address, or one /64 network of IPv6. When there is one more, the oldest one is
    /// closed.
    pub handshakes_per_address: usize,
    /// From the TCP connection to the last proof: TLS, the greeting and the cookie.
    pub handshake: Duration,
    /// A connection is closed when nothing came from the peer for so long, or it took nothing of what was sent.
    /// Peers ping every 1 to 5 seconds, so it must be longer than that.
    pub idle: Duration,
    /// Looking up a seed's name and connecting to it.
    pub connect: Duration,
    /// Between two attempts to reach a seed. Its row of failures ends with a connection whose peer proved itself.
    pub backoff: Backoff,
}

impl Default for Limits {
    /// 64 connections and 256 handshakes, 128 of them from one address; 5 s for a handshake, 10 s of silence, 3 s to
    /// connect, and from 100 ms to 2 s between attempts.
    fn default() -> Self {
        Self {
            connections: 64,
            handshakes: 256,
            handshakes_per_address: 128,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            connect: Duration::from_secs(3),
            backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(2) },
        }
    }
}
