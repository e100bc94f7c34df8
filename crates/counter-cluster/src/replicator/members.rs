//! Which other nodes there are, and how this one stands with them.

use std::collections::BTreeSet;

use counter_protocol::CounterName;
use ractor::{ActorCell, ActorId, ActorRef, pg};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Known, Member, ReplicatorMessage, ReplicatorState, Waiting};
use crate::gateway::{ANSWER_DEADLINE, GROUP, GatewayMessage, Unanswered, ask};
use crate::link::Reached;
use crate::wire::{Reply, Request};
use crate::{NodeName, PeerStatus, ReplicaId, Standing, Total};

impl ReplicatorState {
    /// Gateways that are there, and not known yet.
    pub(super) fn look_for_members(&mut self, myself: &ActorRef<ReplicatorMessage>) {
        pg::get_members(&GROUP.into()).into_iter().for_each(|cell| self.joined(myself, cell));
    }

    /// A gateway has appeared: who is it?
    pub(super) fn joined(&mut self, myself: &ActorRef<ReplicatorMessage>, cell: ActorCell) {
        let member = cell.get_id();
        if member.is_local() || self.members.contains_key(&member) {
            return;
        }
        let gateway: ActorRef<GatewayMessage> = cell.into();
        let number = self.next_member;
        self.next_member += 1;
        self.members.insert(member, Member { number, gateway });
        let identify = Request::Identify { from: self.replication.me().clone() };
        self.question(myself, number, identify, move |answer| {
            let replica = match answer {
                Ok(Reply::Identity(replica)) => Ok(replica),
                Ok(Reply::Merged(_) | Reply::Differing(_) | Reply::Entries(_) | Reply::Flushed) | Err(_) => {
                    Err(Unanswered)
                }
            };
            ReplicatorMessage::Identified(member, replica)
        });
    }

    pub(super) fn identified(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        member: &ActorId,
        replica: Result<ReplicaId, Unanswered>,
    ) {
        // It may have left meanwhile.
        let Some(Member { number, .. }) = self.members.get(member) else { return };
        let peer = self.peers.peer_of(*member);
        let Some(replica) = replica.ok().filter(|replica| peer.is_some_and(|peer| peer.name == replica.node))
        else {
            tracing::warn!("a node does not say who it is, or not its own name; it is asked again soon");
            self.members.remove(member);
            return;
        };
        let number = *number;
        tracing::info!(%replica, "a node is there");
        self.replication.joined(number, replica.clone());
        let known = Known { replica: replica.clone(), peer: Some(number), heard: Instant::now() };
        self.known.send_if_modified(|nodes| nodes.insert(replica.node.clone()));
        self.nodes.insert(replica.node, known);
        self.compare_next(myself, number);
    }

    pub(super) fn left(&mut self, member: &ActorId) {
        let Some(Member { number, .. }) = self.members.remove(member) else { return };
        self.replication.left(number);
        for (node, known) in &mut self.nodes {
            if known.peer == Some(number) {
                known.peer = None;
                tracing::info!(%node, "a node is gone");
            }
        }
    }

    /// The nodes that were ever connected, and are not now.
    pub(super) fn absent(&self) -> Vec<NodeName> {
        let connected: BTreeSet<_> = self.replication.peers().map(|(_, replica)| &replica.node).collect();
        self.known.borrow().iter().filter(|node| !connected.contains(node)).cloned().collect()
    }

    pub(super) fn heard(&mut self, peer: u64, heard: bool) {
        let known = self.nodes.values_mut().find(|known| heard && known.peer == Some(peer));
        if let Some(known) = known {
            known.heard = Instant::now();
        }
    }

    pub(super) fn heard_from(&mut self, replica: &ReplicaId) {
        if let Some(known) = self.nodes.get_mut(&replica.node) {
            known.heard = Instant::now();
        }
    }

    /// The gateway at the other end of a connection.
    pub(super) fn gateway(&self, number: u64) -> Option<ActorRef<GatewayMessage>> {
        let member = self.members.values().find(|member| member.number == number)?;
        Some(member.gateway.clone())
    }

    /// The connections to peers that have said who they are.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.replication.peers().map(|(number, _)| number).collect()
    }

    /// Asks beside the mailbox, and sends what comes of it to this actor.
    pub(super) fn question(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        number: u64,
        request: Request,
        message: impl FnOnce(Result<Reply, Unanswered>) -> ReplicatorMessage + Send + 'static,
    ) {
        let (myself, gateway, peers) = (myself.clone(), self.gateway(number), self.peers.clone());
        self.questions.spawn(async move {
            let answer = match gateway {
                Some(gateway) => ask(&peers, gateway, request, ANSWER_DEADLINE).await,
                None => Err(Unanswered),
            };
            let _ = myself.cast(message(answer));
        });
    }

    /// Ready when a peer has all that it lacks now; an error if the connection ends before.
    pub(super) fn when_complete(&mut self, peer: u64) -> oneshot::Receiver<()> {
        let (reached, when) = oneshot::channel();
        self.waiting.push(Waiting { peer, point: self.replication.end(peer), reached });
        when
    }

    pub(super) fn tell_those_who_wait(&mut self) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            let Waiting { peer, point, .. } = &mut waiting;
            *point = point.or_else(|| self.replication.end(*peer));
            let reached = match *point {
                Some(point) => self.replication.has_reached(*peer, point),
                None if self.replication.has_joined(*peer) => Reached::NotYet,
                None => Reached::Lost,
            };
            match reached {
                Reached::Yes => _ = waiting.reached.send(()),
                Reached::NotYet => self.waiting.push(waiting),
                // Whoever waits learns it because the sender is gone.
                Reached::Lost => {}
            }
        }
    }

    pub(super) fn others(&self, name: &CounterName) -> Total {
        let entries = self.replication.ledger().entries(name);
        entries.filter(|(id, _)| *id != self.replication.me()).map(|(_, count)| count).collect()
    }

    pub(super) fn standing(&self) -> Standing {
        let ledger = self.replication.ledger();
        let replicas = ledger.replicas().map(|(id, totals)| (id.clone(), totals)).collect();
        let refused = self.replication.refused();
        Standing { names: ledger.names(), replicas, peers: self.peers(), refused }
    }

    pub(super) fn peers(&self) -> Vec<PeerStatus> {
        let status = |(node, known): (&NodeName, &Known)| PeerStatus {
            node: node.clone(),
            replica: known.replica.clone(),
            is_up: known.peer.is_some(),
            heard: known.heard.elapsed(),
            lag: known.peer.map_or(0, |peer| self.replication.lag(peer)),
        };
        self.nodes.iter().map(status).collect()
    }
}
