use std::time::Duration;

use ractor_supervision::Backoff;

/// Bounds and deadlines of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of accepted connections whose peers have authenticated. At the limit, further ones are closed at
    /// once.
    pub connections: usize,
    /// Maximum number of accepted connections whose peers have not authenticated yet. Beyond the limit, the oldest one
    /// of the address with the most is closed.
    pub handshakes: usize,
    /// Maximum number of those from one address, or one /64 network of IPv6. Beyond the limit, the oldest one is
    /// closed.
    pub handshakes_per_address: usize,
    /// Maximum time from the TCP connection to the last proof: TLS, the greeting and the cookie.
    pub handshake: Duration,
    /// Maximum time without a byte from the peer, and without one that the peer takes while something is to be sent.
    /// Peers ping every 1 to 5 seconds, so it must be longer than that.
    pub idle: Duration,
    /// Maximum time to look up a seed's name and connect to it.
    pub connect: Duration,
    /// Pause between two attempts to reach a seed. A connection whose peer authenticates resets it.
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
