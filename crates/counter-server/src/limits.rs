//! Bounds of what clients may ask for.

/// Bounds of what clients may ask for, so that no client takes the memory of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of connections of each TCP front end.
    pub connections: usize,
    /// Maximum length of one request, in bytes.
    pub request_bytes: usize,
    /// Maximum number of commands of a pipeline that are carried out together. Further ones wait in the socket.
    pub pipeline: usize,
    /// Maximum number of counters, approximately: operations that would create more are refused.
    pub names: Option<u64>,
    /// Maximum size of answers that a client has not read yet, in bytes. At the bound, its requests wait.
    pub unread_bytes: usize,
}

impl Default for Limits {
    /// 10,000 connections, requests of 1 MiB, pipelines of 1,024 commands, 1 MiB unread, and no limit of names.
    fn default() -> Self {
        Self {
            connections: 10_000,
            request_bytes: 1 << 20,
            pipeline: 1024,
            names: None,
            unread_bytes: 1 << 20,
        }
    }
}
