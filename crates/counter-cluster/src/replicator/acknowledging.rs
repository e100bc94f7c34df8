//! Acknowledgements that n other nodes have committed what was counted here.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_transport::NodeName;
use tokio::time::{Instant, timeout_at};

use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use crate::rpc::{ANSWER_DEADLINE, ask};
use crate::wire::{Reply, Request};

/// Maximum time until enough other nodes have committed something.
pub(crate) const COPIES_DEADLINE: Duration = Duration::from_secs(10);

/// Callers who wait for copies. One round of replication is under way for some of them; the others have come since,
/// and are the next one's.
#[derive(Default)]
pub(super) struct Acknowledging {
    next: Vec<Caller>,
    is_under_way: bool,
}

/// Caller who waits until this number of other nodes have committed what it has counted, and gets the number of those
/// that have.
pub(super) struct Caller {
    copies: usize,
    /// Time at which it gets what there is.
    deadline: Instant,
    reply: RpcReplyPort<usize>,
}

impl ReplicatorState {
    /// Adds a caller to the next round of replication, and begins it if none is under way.
    pub(super) async fn acknowledge(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        copies: usize,
        within: Duration,
        reply: RpcReplyPort<usize>,
    ) -> Result<(), ActorProcessingErr> {
        let deadline = Instant::now() + within.min(COPIES_DEADLINE);
        self.acknowledging.next.push(Caller { copies, deadline, reply });
        if self.acknowledging.is_under_way { Ok(()) } else { self.begin_copies(myself).await }
    }

    /// Ends a round, and begins the next one if there are callers.
    pub(super) async fn copied(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
    ) -> Result<(), ActorProcessingErr> {
        self.acknowledging.is_under_way = false;
        if self.acknowledging.next.is_empty() { Ok(()) } else { self.begin_copies(myself).await }
    }

    async fn begin_copies(&mut self, myself: &ActorRef<ReplicatorMessage>) -> Result<(), ActorProcessingErr> {
        self.acknowledging.is_under_way = true;
        let callers = std::mem::take(&mut self.acknowledging.next);
        self.when_counted(myself, |state, myself| state.ask_for_copies(myself, callers)).await
    }

    /// Asks each peer to commit what it has got, once it has everything.
    fn ask_for_copies(&mut self, myself: &ActorRef<ReplicatorMessage>, mut callers: Vec<Caller>) {
        let peers: Vec<_> = self.replication.peers().map(|(peer, id)| (peer, id.node.clone())).collect();
        let mut copies = FuturesUnordered::new();
        for (peer, node) in peers {
            let complete = self.when_complete(peer);
            let connection = self.peers.connection(peer).cloned();
            let commit = Request::Commit { from: self.replication.me().clone() };
            copies.push(async move {
                complete.await.ok()?;
                let answer = ask(&*connection?, commit, ANSWER_DEADLINE).await;
                matches!(answer, Ok(Reply::Committed)).then_some(node)
            });
        }
        let myself = myself.clone();
        self.questions.spawn(async move {
            let mut committed = BTreeSet::<NodeName>::new();
            while let Some(deadline) = callers.iter().map(|caller| caller.deadline).min() {
                match timeout_at(deadline, copies.next()).await {
                    Ok(Some(copy)) => {
                        committed.extend(copy);
                        answer_all(&mut callers, |caller| caller.copies <= committed.len(), committed.len());
                    }
                    Ok(None) => break,
                    Err(_) => answer_all(&mut callers, |caller| caller.deadline <= deadline, committed.len()),
                }
            }
            answer_all(&mut callers, |_| true, committed.len());
            let _ = myself.cast(ReplicatorMessage::Copied);
        });
    }
}

/// Answers those callers who need not wait any longer.
fn answer_all(callers: &mut Vec<Caller>, is_done: impl Fn(&Caller) -> bool, copies: usize) {
    for caller in callers.extract_if(.., |caller| is_done(caller)) {
        let _ = caller.reply.send(copies);
    }
}
