use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use tokio::sync::oneshot;

use super::limits::Limits;
use super::peers::Peers;
use super::security::Security;
use crate::NodeName;

/// State that the listener and all diallers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: NodeName,
    pub(super) server: ActorRef<NodeServerMessage>,
    pub(super) peers: Peers,
    pub(super) security: Security,
    pub(super) plaintext_anywhere: bool,
    pub(super) limits: Limits,
    /// Never sent: every task shares this value, so when it is dropped, all of them have ended.
    #[expect(dead_code, reason = "dropping it is its purpose")]
    pub(super) running: oneshot::Sender<Infallible>,
}

/// A number that no other call in this process gets.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
