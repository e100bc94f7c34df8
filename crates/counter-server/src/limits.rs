//! Bounds of what clients may ask for.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Bounds of what clients may ask for, so that no client takes the memory of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of connections of each TCP front end.
    pub connections: usize,
    /// Maximum length of one request, in bytes.
    pub request_bytes: usize,
    /// Maximum number of commands of a pipeline that are carried out together. Further ones wait in the socket.
    pub pipeline: usize,
    /// Number of counters at which no further one is created, approximately.
    pub names: Option<NonZeroUsize>,
    /// Maximum number of sessions that clients of one address have open.
    pub sessions: usize,
    /// Time for a client to read a piece of its replies. Until then its requests wait; then it is disconnected.
    pub unread_timeout: Duration,
}

impl Default for Limits {
    /// 10,000 connections, requests of 1 MiB, pipelines of 1,024 commands, 4,096 sessions, a minute to read replies,
    /// and no limit of names.
    fn default() -> Self {
        Self {
            connections: 10_000,
            request_bytes: 1 << 20,
            pipeline: 1024,
            names: None,
            sessions: 4096,
            unread_timeout: Duration::from_secs(60),
        }
    }
}
