use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use counter_keyspace::KeyspaceHandle;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::Lease;
use ractor_transport::NodeName;
use tokio::sync::watch;
use tokio::time::Instant;

use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use super::store::NodeStore;
use crate::ledger::Ranking;
use crate::network::Network;
use crate::replication::Replication;

/// Minimum interval between replication rounds.
///
/// It applies while a few thousand counters change and the machine is not busy. The interval grows with the duration of
/// a round.
pub const REPLICATE_EVERY: Duration = Duration::from_millis(20);

/// Maximum interval between replication rounds, however many counters change.
pub const REPLICATE_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// Interval between comparisons of quiet replicas, and so the maximum time without a message between peers.
pub const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Idle time after a round, as a multiple of its duration.
///
/// Sending the changes and merging those of others takes time as well. The more changes there are, the rarer the
/// rounds, and the more is sent once instead of again and again.
const REST: u32 = 16;

/// The actor around [`Replication`]. The replication survives it, and each incarnation has a clone of these fields.
#[derive(Clone, Debug)]
pub(crate) struct Replicator {
    /// The node's own counters.
    pub(crate) keyspace: KeyspaceHandle,
    /// Way to the node's peers.
    pub(crate) network: Arc<dyn Network>,
    /// Nodes that were ever connected.
    pub(crate) ever_connected: watch::Sender<BTreeSet<NodeName>>,
    /// Number of nodes that are connected.
    pub(crate) connected: watch::Sender<usize>,
    /// The node's store, if it has one and replicates.
    pub(crate) store: Option<NodeStore>,
    /// True if the node replicates with nobody.
    pub(crate) is_alone: bool,
}

impl Actor for Replicator {
    type Msg = ReplicatorMessage;
    type State = ReplicatorState;
    type Arguments = Lease<Replication>;

    async fn pre_start(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        mut replication: Lease<Replication>,
    ) -> Result<ReplicatorState, ActorProcessingErr> {
        // An incarnation before this one may have had connections.
        let before: Vec<_> = replication.peers().map(|(peer, _)| peer).collect();
        before.into_iter().for_each(|peer| replication.left(peer));
        myself.send_after(REPLICATE_EVERY, || ReplicatorMessage::Replicate);
        myself.send_after(COMPARE_EVERY, || ReplicatorMessage::Compare);
        Ok(ReplicatorState::new(replication, self.clone()))
    }

    async fn post_start(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        state.update_connections(&myself);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        message: ReplicatorMessage,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        while state.questions.try_join_next().is_some() {}
        match message {
            ReplicatorMessage::Replicate => {
                let begun = Instant::now();
                state.collect(&myself).await?;
                let rest = (begun.elapsed() * REST).clamp(REPLICATE_EVERY, REPLICATE_AT_LEAST_EVERY);
                myself.send_after(rest, || ReplicatorMessage::Replicate);
            }
            ReplicatorMessage::Compare => {
                state.update_connections(&myself);
                state.compare_all(&myself);
                myself.send_after(COMPARE_EVERY, || ReplicatorMessage::Compare);
            }
            ReplicatorMessage::ConnectionsChanged => state.update_connections(&myself),
            ReplicatorMessage::Asked(sender, request, reply) => {
                state.answer(&myself, &sender, request, reply).await?;
            }
            ReplicatorMessage::Identified(id, identity) => state.identified(&myself, id, identity),
            ReplicatorMessage::Admitted(id, replica, member) => state.admitted(&myself, id, replica, member),
            ReplicatorMessage::IdentifyAgain(id) => state.identify_again(&myself, id),
            ReplicatorMessage::IdentifiedAgain(id, identity) => state.identified_again(&myself, id, identity),
            ReplicatorMessage::Committed => state.committed(&myself).await?,
            ReplicatorMessage::GetCopies(copies, within, reply) => {
                state.acknowledge(&myself, copies, within, reply).await?;
            }
            ReplicatorMessage::Copied => state.copied(&myself).await?,
            ReplicatorMessage::Columns(request) => request.answer(&mut state.replication),
            ReplicatorMessage::GetNode(incarnation, reply) => {
                let _ = reply.send(state.node_of(incarnation));
            }
            ReplicatorMessage::Sent { peer, batch, corrections } => state.sent(peer, batch, corrections),
            ReplicatorMessage::Compared { peer, asked, differing } => {
                state.compared(&myself, peer, &asked, differing);
            }
            ReplicatorMessage::Examined { peer, salt, digests } => {
                state.examined(&myself, peer, salt, digests);
            }
            ReplicatorMessage::Refresh { name, deadline, reply } => {
                state.refresh(&myself, name, deadline, reply);
            }
            ReplicatorMessage::Refreshed { batches, unanswered, reply } => {
                batches.iter().for_each(|batch| _ = state.merge(batch));
                let _ = reply.send(unanswered);
            }
            ReplicatorMessage::Question(question) => state.answer_question(&myself, question).await?,
            ReplicatorMessage::GetOthers(name, reply) => {
                let _ = reply.send((state.others(&name), state.peer_statuses()));
            }
            ReplicatorMessage::GetStatus(reply) => {
                state.when_read(&myself, |state, _| _ = reply.send(state.status())).await?;
            }
            ReplicatorMessage::GetTop(n, reply) => {
                let rank = move |state: &mut ReplicatorState, myself: &_| {
                    state.rank(myself, Ranking::new(n), reply);
                };
                state.when_read(&myself, rank).await?;
            }
            ReplicatorMessage::Rank(ranking, reply) => state.rank(&myself, ranking, reply),
            ReplicatorMessage::HandOver(deadline, reply) => {
                state.when_counted(&myself, move |state, _| state.hand_over(deadline, reply)).await?;
            }
            ReplicatorMessage::Items(parcel) => drop(parcel),
        }
        state.send_batches(&myself);
        state.notify_waiters();
        Ok(())
    }
}
