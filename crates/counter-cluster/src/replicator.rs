mod exchange;
mod members;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use counter_keyspace::KeyspaceHandle;
use counter_protocol::CounterName;
use ractor::pg::{self, GroupChangeMessage};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, Message, RpcReplyPort, SupervisionEvent};
use ractor_supervision::Lease;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::gateway::{GROUP, GatewayMessage, Unanswered};
use crate::link::Point;
use crate::transport::Peers;
use crate::wire::{Batch, Differing, Entry, Request};
use crate::{NodeName, PeerStatus, ReplicaId, Replication, Standing, Total};

/// How long what has changed waits before it is sent, as long as few thousand counters change and the machine is not busy:
/// the pause grows with the time that a round takes.
pub const REPLICATE_EVERY: Duration = Duration::from_millis(20);

/// How long it waits at most, however many change.
pub const REPLICATE_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// How often peers compare what is quiet; so often each hears of the other at least.
pub const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// After each round of taking changes there is a rest of so many times as long, because sending them and keeping those of
/// others takes time as well. The more changes, the rarer the rounds, and the more is sent once instead of again and again.
const REST: u32 = 16;

/// How many changed counters are taken from a shard at once.
const CHANGES_AT_ONCE: usize = 4096;

/// The actor around [`Replication`]: takes changes from the shards, sends batches to peers, and answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replicator;

pub(crate) struct ReplicatorArguments {
    /// Survives the actor.
    pub(crate) replication: Lease<Replication>,
    pub(crate) keyspace: KeyspaceHandle,
    pub(crate) peers: Peers,
    /// Nodes that were ever connected. Survives the actor.
    pub(crate) known: watch::Sender<BTreeSet<NodeName>>,
}

/// What the replicator understands.
pub(crate) enum ReplicatorMessage {
    /// Takes what has changed, and sends it on.
    Replicate,
    /// Compares with all peers.
    Compare,
    /// Another node asks: the one of this name, as the transport has verified.
    Asked(NodeName, Request, RpcReplyPort<Vec<u8>>),
    /// A gateway has said who it is.
    Identified(ActorId, Result<ReplicaId, Unanswered>),
    /// A batch has arrived at a peer, with what it corrects of its own entries; or it has not.
    Sent { peer: u64, batch: u64, corrections: Result<Vec<Entry>, Unanswered> },
    /// What a peer holds where it differs.
    Compared { peer: u64, asked: Vec<ReplicaId>, differing: Result<Differing, Unanswered> },
    /// Asks all peers for what they hold, of one name or in all, and answers with the nodes that did not.
    Refresh { name: Option<CounterName>, deadline: Duration, reply: RpcReplyPort<Vec<NodeName>> },
    /// What peers have answered.
    Refreshed { batches: Vec<Batch>, unanswered: Vec<NodeName>, reply: RpcReplyPort<Vec<NodeName>> },
    /// Asks what other replicas have counted under a name.
    GetOthers(CounterName, RpcReplyPort<(Total, Vec<PeerStatus>)>),
    /// Asks how things stand, with all that was counted here before.
    GetStanding(RpcReplyPort<Standing>),
    /// Asks for the largest values, with all that was counted here before.
    GetTop(usize, RpcReplyPort<Vec<(CounterName, Total)>>),
    /// Answers when all peers have everything, or the deadline is over: whether each node that is or was connected has.
    HandOver(Duration, RpcReplyPort<Vec<(NodeName, bool)>>),
}

impl Message for ReplicatorMessage {}

pub(crate) struct ReplicatorState {
    replication: Lease<Replication>,
    keyspace: KeyspaceHandle,
    /// Nodes at the other ends of the connections.
    peers: Peers,
    /// Gateways of other nodes, as long as they are connected.
    members: HashMap<ActorId, Member>,
    next_member: u64,
    /// Nodes that were ever connected, to any incarnation of this actor.
    known: watch::Sender<BTreeSet<NodeName>>,
    /// Nodes that were ever connected to this one.
    nodes: BTreeMap<NodeName, Known>,
    waiting: Vec<Waiting>,
    /// Questions to other nodes, each with a deadline; they end with this actor.
    questions: JoinSet<()>,
}

struct Member {
    number: u64,
    gateway: ActorRef<GatewayMessage>,
}

struct Known {
    replica: ReplicaId,
    /// The connection's number, while there is one.
    peer: Option<u64>,
    heard: Instant,
}

/// Somebody waits until a peer has what it lacked at some point.
struct Waiting {
    peer: u64,
    /// None until it is known what the peer lacks.
    point: Option<Point>,
    reached: oneshot::Sender<()>,
}

impl Actor for Replicator {
    type Msg = ReplicatorMessage;
    type State = ReplicatorState;
    type Arguments = ReplicatorArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        ReplicatorArguments { mut replication, keyspace, peers, known }: ReplicatorArguments,
    ) -> Result<ReplicatorState, ActorProcessingErr> {
        // An incarnation before this one may have had connections, and may have taken changes without telling anybody.
        let before: Vec<_> = replication.peers().map(|(number, _)| number).collect();
        before.into_iter().for_each(|number| replication.left(number));
        keyspace.track_changes().await?;
        pg::monitor(GROUP.into(), myself.get_cell());
        myself.send_after(REPLICATE_EVERY, || ReplicatorMessage::Replicate);
        myself.send_after(COMPARE_EVERY, || ReplicatorMessage::Compare);
        Ok(ReplicatorState {
            replication,
            keyspace,
            peers,
            members: HashMap::new(),
            next_member: 0,
            known,
            nodes: BTreeMap::new(),
            waiting: Vec::new(),
            questions: JoinSet::new(),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        state.look_for_members(&myself);
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
                state.collect().await?;
                let rest = (begun.elapsed() * REST).clamp(REPLICATE_EVERY, REPLICATE_AT_LEAST_EVERY);
                myself.send_after(rest, || ReplicatorMessage::Replicate);
            }
            ReplicatorMessage::Compare => {
                state.look_for_members(&myself);
                state.compare_all(&myself);
                myself.send_after(COMPARE_EVERY, || ReplicatorMessage::Compare);
            }
            ReplicatorMessage::Asked(sender, request, reply) => state.answer(&sender, request, reply).await?,
            ReplicatorMessage::Identified(member, replica) => state.identified(&myself, &member, replica),
            ReplicatorMessage::Sent { peer, batch, corrections } => {
                state.replication.sent(peer, batch, corrections.is_ok());
                state.heard(peer, corrections.is_ok());
                state.replication.corrected(peer, &corrections.unwrap_or_default());
            }
            ReplicatorMessage::Compared { peer, asked, differing } => {
                state.heard(peer, differing.is_ok());
                if let Ok(differing) = differing {
                    state.replication.compared(peer, &asked, &differing);
                    // Without progress, it is asked again with the others.
                    if differing.examined > 0 {
                        state.compare_next(&myself, peer);
                    }
                }
            }
            ReplicatorMessage::Refresh { name, deadline, reply } => {
                state.refresh(&myself, name, deadline, reply);
            }
            ReplicatorMessage::Refreshed { batches, unanswered, reply } => {
                batches.iter().for_each(|batch| _ = state.merge(batch));
                let _ = reply.send(unanswered);
            }
            ReplicatorMessage::GetOthers(name, reply) => _ = reply.send((state.others(&name), state.peers())),
            ReplicatorMessage::GetStanding(reply) => {
                state.collect().await?;
                let _ = reply.send(state.standing());
            }
            ReplicatorMessage::GetTop(n, reply) => {
                state.collect().await?;
                let _ = reply.send(state.replication.ledger().top(n));
            }
            ReplicatorMessage::HandOver(deadline, reply) => {
                state.collect().await?;
                state.hand_over(deadline, reply);
            }
        }
        state.send_batches(&myself);
        state.tell_those_who_wait();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ReplicatorMessage>,
        event: SupervisionEvent,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ProcessGroupChanged(GroupChangeMessage::Join(_, _, cells)) => {
                cells.into_iter().for_each(|cell| state.joined(&myself, cell));
            }
            SupervisionEvent::ProcessGroupChanged(GroupChangeMessage::Leave(_, _, cells)) => {
                cells.iter().for_each(|cell| state.left(&cell.get_id()));
            }
            // It has no children.
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorFailed(..)
            | SupervisionEvent::PidLifecycleEvent(_) => {}
        }
        Ok(())
    }
}
