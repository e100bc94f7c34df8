//! Comparisons with other nodes.

use ractor::ActorRef;
use tokio::time::Instant;

use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use crate::ledger::PartDigests;
use crate::replica::ReplicaId;
use crate::rpc::Unanswered;
use crate::wire::{Comparison, Differing, Reply, Request};

impl ReplicatorState {
    /// Compares quiet replicas with all peers, and everything with those that have not answered that yet.
    pub(super) fn compare_all(&mut self, myself: &ActorRef<ReplicatorMessage>) {
        let quiet = self.replication.quiet();
        for peer in self.indices() {
            let comparison = self.replication.due_comparison(peer, &quiet);
            self.compare(myself, peer, comparison);
            self.examine_next(myself, peer);
        }
    }

    /// Sends the next part of the first comparison to a peer, if there is one left.
    pub(super) fn compare_next(&mut self, myself: &ActorRef<ReplicatorMessage>, peer: u64) {
        if let Some(comparison) = self.replication.next_comparison(peer) {
            self.compare(myself, peer, comparison);
        }
    }

    fn compare(&mut self, myself: &ActorRef<ReplicatorMessage>, peer: u64, comparison: Comparison) {
        let asked = comparison.roots.iter().map(|(id, _)| id.clone()).collect();
        self.question(myself, peer, Request::Compare(comparison), move |answer| {
            let differing = match answer {
                Ok(Reply::Differing(differing)) => Ok(differing),
                Ok(_) | Err(_) => Err(Unanswered),
            };
            ReplicatorMessage::Compared { peer, asked, differing }
        });
    }

    /// Asks a peer for digests of the next parts that differ, if there are any and it is not being asked already.
    pub(super) fn examine_next(&mut self, myself: &ActorRef<ReplicatorMessage>, peer: u64) {
        let Some(examination) = self.replication.next_examination(peer) else { return };
        let salt = examination.parts.salt;
        self.question(myself, peer, Request::Examine(examination), move |answer| {
            let digests = match answer {
                Ok(Reply::Examined(digests)) => Ok(digests),
                Ok(_) | Err(_) => Err(Unanswered),
            };
            ReplicatorMessage::Examined { peer, salt, digests }
        });
    }

    /// Notes that a peer has answered a comparison, or has not.
    pub(super) fn compared(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        peer: u64,
        asked: &[ReplicaId],
        differing: Result<Differing, Unanswered>,
    ) {
        let Ok(differing) = differing else { return };
        self.peers.heard_from(peer, Instant::now());
        self.replication.compared(peer, asked, &differing);
        // Without progress, it is asked again with the others.
        if differing.examined > 0 {
            self.compare_next(myself, peer);
        }
        self.examine_next(myself, peer);
    }

    /// Notes that a peer has answered an examination, or has not.
    pub(super) fn examined(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        peer: u64,
        salt: u64,
        digests: Result<Vec<PartDigests>, Unanswered>,
    ) {
        self.replication.examined(peer, salt, digests.as_deref().ok());
        // Without an answer, it is asked again when it is next compared.
        if digests.is_ok() {
            self.peers.heard_from(peer, Instant::now());
            self.examine_next(myself, peer);
        }
    }
}
