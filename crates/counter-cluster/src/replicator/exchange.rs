//! Batches and questions to other nodes, and answers to theirs.

use std::time::Duration;

use counter_protocol::CounterName;
use futures_util::future::join_all;
use mutations::Mutation;
use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_transport::NodeName;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::actor::REPLICATE_EVERY;
use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use crate::alarm::Alarm;
use crate::replica::ReplicaId;
use crate::rpc::{Unanswered, ask};
use crate::wire::{Batch, Entry, Identity, Reply, Request, encode};

impl ReplicatorState {
    /// Sends a batch to every peer that lacks something and has room in its window.
    pub(super) fn send_batches(&mut self, myself: &ActorRef<ReplicatorMessage>) {
        for peer in self.indices() {
            while let Some((batch, content)) = self.replication.next_batch(peer) {
                self.question(myself, peer, Request::Merge(content), move |answer| {
                    let corrections = match answer {
                        Ok(Reply::Merged(corrections)) => Ok(corrections),
                        Ok(_) | Err(_) => Err(Unanswered),
                    };
                    ReplicatorMessage::Sent { peer, batch, corrections }
                });
            }
        }
    }

    /// Notes that a peer has acknowledged a batch, or has not.
    pub(super) fn sent(&mut self, peer: u64, batch: u64, corrections: Result<Vec<Entry>, Unanswered>) {
        self.replication.sent(peer, batch, corrections.is_ok());
        if let Ok(corrections) = corrections {
            self.peers.heard_from(peer, Instant::now());
            self.replication.corrected(peer, &corrections);
        }
    }

    /// Answers a request, or refuses it if it is in the name of another node than its sender.
    pub(super) async fn answer(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        sender: &NodeName,
        request: Request,
        reply: RpcReplyPort<Vec<u8>>,
    ) -> Result<(), ActorProcessingErr> {
        let claimed = &request.from().node;
        if claimed != sender {
            // Whoever asks learns from the reply port that there is no answer.
            tracing::warn!(%sender, %claimed, "refused a request in the name of another node");
            return Ok(());
        }
        let answer = match request {
            Request::Identify { store, .. } => {
                let (replica, mine) = (self.replication.me().clone(), self.store.as_ref());
                Reply::Identity(Identity { replica, store: mine.map(|mine| mine.identity(store)) })
            }
            Request::Merge(batch) => {
                self.peers.heard_from_node(&batch.from.node, Instant::now());
                if Mutation::AcknowledgeBeforeMerge.is_planted() {
                    let (batches, unanswered, reply) = (vec![batch], Vec::new(), oneshot::channel().0.into());
                    let merge = ReplicatorMessage::Refreshed { batches, unanswered, reply };
                    myself.send_after(REPLICATE_EVERY, || merge);
                    Reply::Merged(Vec::new())
                } else {
                    Reply::Merged(self.merge(&batch))
                }
            }
            Request::Compare(comparison) => {
                self.peers.heard_from_node(&comparison.from.node, Instant::now());
                Reply::Differing(self.replication.compare(comparison))
            }
            Request::Examine(examination) => {
                self.peers.heard_from_node(&examination.from.node, Instant::now());
                Reply::Examined(self.replication.examine(examination))
            }
            Request::Read { name, .. } => return self.answer_read(myself, name, reply).await,
            Request::Flush { from } => {
                return self.when_counted(myself, move |state, _| state.answer_flush(&from, reply)).await;
            }
            Request::Commit { .. } => {
                self.answer_commit(reply);
                return Ok(());
            }
        };
        let _ = reply.send(encode(&answer));
        Ok(())
    }

    async fn answer_read(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        name: CounterName,
        reply: RpcReplyPort<Vec<u8>>,
    ) -> Result<(), ActorProcessingErr> {
        let entries =
            |state: &Self, name: &CounterName| encode(&Reply::Entries(state.replication.entries(name)));
        if self.store.is_some() {
            let answer = move |state: &mut Self, _: &_| _ = reply.send(entries(state, &name));
            return self.when_counted(myself, answer).await;
        }
        let mine = self.keyspace.count(name.as_bytes()).await?;
        self.replication.counted(mine.map(|count| (name.clone(), count)));
        let _ = reply.send(entries(self, &name));
        Ok(())
    }

    /// Replies when a peer has everything.
    fn answer_flush(&mut self, from: &ReplicaId, reply: RpcReplyPort<Vec<u8>>) {
        let peer = self.replication.peers().find(|(_, replica)| *replica == from);
        if let Some((peer, _)) = peer {
            let complete = self.when_complete(peer);
            self.questions.spawn(async move {
                if complete.await.is_ok() {
                    let _ = reply.send(encode(&Reply::Flushed));
                }
            });
        }
    }

    /// Replies when all that was merged before is durable, or at once without a store.
    fn answer_commit(&mut self, reply: RpcReplyPort<Vec<u8>>) {
        let commits = self.commits();
        self.questions.spawn(async move {
            let durable = match commits {
                Some(commits) => commits.wait().await,
                None => Ok(()),
            };
            if durable.is_ok() {
                let _ = reply.send(encode(&Reply::Committed));
            }
        });
    }

    /// Merges a batch, and returns corrections of entries of this node.
    pub(super) fn merge(&mut self, batch: &Batch) -> Vec<Entry> {
        let refused = self.replication.refused();
        let corrections = self.replication.merge(batch);
        for replica in self.replication.take_new_forks() {
            tracing::warn!(%replica, "two lives have counted as one replica: the greater value counts");
        }
        self.raise_alarm_if_overtaken();
        if refused == 0 && self.replication.refused() > 0 {
            tracing::warn!(from = %batch.from, "no room for another replica: its entries are refused, here and from now on");
        }
        corrections
    }

    fn raise_alarm_if_overtaken(&self) {
        let Some(store) = self.store.as_ref().filter(|_| self.replication.is_overtaken()) else { return };
        let is_new = |alarm: &mut Option<Alarm>| alarm.is_none() && alarm.replace(Alarm::Overtaken).is_none();
        if store.alarm.send_if_modified(is_new) {
            tracing::error!("{}", Alarm::Overtaken);
        }
    }

    /// Asks all peers for their entries, and replies when all have answered or the deadline is over.
    pub(super) fn refresh(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        name: Option<CounterName>,
        deadline: Duration,
        reply: RpcReplyPort<Vec<NodeName>>,
    ) {
        let mut unanswered = self.absent();
        let questions = self.replication.peers().filter_map(|(peer, from)| {
            let request = match &name {
                Some(name) => Request::Read { from: self.replication.me().clone(), name: name.clone() },
                None => Request::Flush { from: self.replication.me().clone() },
            };
            let (from, connection) = (from.clone(), self.peers.connection(peer)?.clone());
            Some(async move { (from, ask(&*connection, request, deadline).await) })
        });
        let (questions, myself) = (join_all(questions), myself.clone());
        self.questions.spawn(async move {
            let mut batches = Vec::new();
            for (from, answer) in questions.await {
                match answer {
                    Ok(Reply::Flushed) => {}
                    Ok(Reply::Entries(entries)) if let Some(name) = &name => {
                        batches.push(batch_of(from, name, entries));
                    }
                    Ok(_) | Err(Unanswered) => unanswered.push(from.node),
                }
            }
            let _ = myself.cast(ReplicatorMessage::Refreshed { batches, unanswered, reply });
        });
    }

    /// Replies when all peers have everything that they lack now, or the deadline is over.
    pub(super) fn hand_over(&mut self, deadline: Duration, reply: RpcReplyPort<Vec<(NodeName, bool)>>) {
        let peers: Vec<_> = self.replication.peers().map(|(peer, id)| (peer, id.node.clone())).collect();
        let complete: Vec<_> =
            peers.into_iter().map(|(peer, node)| (node, self.when_complete(peer))).collect();
        let absent = self.absent();
        self.questions.spawn(async move {
            let all = complete.into_iter().map(|(node, complete)| async move {
                let in_time = tokio::time::timeout(deadline, complete).await;
                (node, matches!(in_time, Ok(Ok(()))))
            });
            let absent = absent.into_iter().map(|node| (node, false));
            let _ = reply.send(join_all(all).await.into_iter().chain(absent).collect());
        });
    }
}

/// Returns a peer's entries of one name as a batch that the peer might have sent.
fn batch_of(from: ReplicaId, name: &CounterName, entries: Vec<Entry<ReplicaId>>) -> Batch {
    let column = |entry: Entry<ReplicaId>| {
        let count = entry.count();
        (entry.of, vec![Entry::new(name.clone(), count)])
    };
    Batch { from, columns: entries.into_iter().map(column).collect() }
}
