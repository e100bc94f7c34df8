use std::collections::{BTreeMap, BTreeSet};

use counter_actor::Count;
use counter_protocol::CounterName;

use crate::ReplicaId;
use crate::ledger::{Digest, Ledger};
use crate::link::{Link, Point, Reached};
use crate::wire::{Batch, Comparison, Entry};

/// How many replicas one answer to a comparison is about at most: 2 KiB each. The rest follows with the next comparison.
const REPLICAS_AT_ONCE: usize = 128;

/// What a node knows and what its peers lack. Pure: messages come in, batches go out.
///
/// - What this node counts is sent to every peer, and only what each lacks.
/// - What another replica has counted is passed on to a peer only if that peer does not hear it itself.
/// - What was missed for whatever reason is found by comparing digests: everything when a connection begins, later only of
///   replicas that are quiet, because those that count differ all the time and are on their way.
#[derive(Debug)]
pub struct Replication {
    me: ReplicaId,
    mine: usize,
    ledger: Ledger,
    peers: BTreeMap<u64, Peer>,
    /// What each replica's digest was when last looked at.
    before: BTreeMap<ReplicaId, Digest>,
}

#[derive(Debug)]
struct Peer {
    replica: ReplicaId,
    link: Link,
    hears: BTreeSet<ReplicaId>,
}

impl Peer {
    fn has_to_be_told(&self, of: &ReplicaId) -> bool {
        self.replica != *of && !self.hears.contains(of)
    }
}

impl Replication {
    /// A node that knows nothing. All nodes of a cluster need the same key.
    #[must_use]
    pub fn new(me: ReplicaId, key: [u64; 2]) -> Self {
        let mut ledger = Ledger::new(key);
        let mine = ledger.number(&me);
        Self { me, mine, ledger, peers: BTreeMap::new(), before: BTreeMap::new() }
    }

    /// This node's replica.
    #[must_use]
    pub const fn me(&self) -> &ReplicaId {
        &self.me
    }

    /// What is known.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// This node has counted.
    pub fn counted(&mut self, counters: impl IntoIterator<Item = (CounterName, Count)>) {
        for (name, count) in counters {
            if let Some(place) = self.ledger.merge(self.mine, &name, count) {
                self.peers.values_mut().for_each(|peer| peer.link.mark(place));
            }
        }
    }

    /// There is a connection, under a number of the caller's, to a peer.
    pub fn joined(&mut self, number: u64, replica: ReplicaId) {
        self.peers.insert(number, Peer { replica, link: Link::default(), hears: BTreeSet::new() });
    }

    /// The connection is gone, and with it all that was under way.
    pub fn left(&mut self, number: u64) {
        self.peers.remove(&number);
    }

    /// The replicas at the other ends.
    pub fn peers(&self) -> impl Iterator<Item = (u64, &ReplicaId)> {
        self.peers.iter().map(|(number, peer)| (*number, &peer.replica))
    }

    /// Keeps what a peer has sent.
    pub fn merge(&mut self, Batch { from, columns }: &Batch) {
        for (id, entries) in columns {
            // Nobody knows better than this node what it has counted.
            if *id == self.me {
                continue;
            }
            let number = self.ledger.number(id);
            let peers = self.peers.values_mut();
            let mut onward: Vec<_> =
                peers.filter(|peer| peer.replica != *from && peer.has_to_be_told(id)).collect();
            for entry in entries {
                if let Some(place) = self.ledger.merge(number, &entry.of, entry.count()) {
                    onward.iter_mut().for_each(|peer| peer.link.mark(place));
                }
            }
        }
    }

    /// What to compare with peers now and then: only what has not changed since this was last asked, and is not this
    /// node's own, which is sent anyway.
    pub fn quiet(&mut self) -> Comparison {
        let now: BTreeMap<_, _> = self.ledger.roots().map(|(id, root)| (id.clone(), root)).collect();
        let quiet = now.iter().filter(|(id, root)| **id != self.me && self.before.get(*id) == Some(*root));
        let roots = quiet.map(|(id, root)| (id.clone(), *root)).collect();
        self.before = now;
        self.comparison(roots)
    }

    /// What to compare when a connection begins: everything.
    #[must_use]
    pub fn everything(&self) -> Comparison {
        self.comparison(self.ledger.roots().map(|(id, root)| (id.clone(), root)).collect())
    }

    fn comparison(&self, roots: Vec<(ReplicaId, Digest)>) -> Comparison {
        let hears = self.peers.values().map(|peer| peer.replica.clone()).collect();
        Comparison { from: self.me.clone(), hears, roots }
    }

    /// Answers a peer that compares.
    pub fn compare(
        &mut self,
        Comparison { from, hears, roots }: Comparison,
    ) -> Vec<(ReplicaId, Vec<Digest>)> {
        let hears: BTreeSet<_> = hears.into_iter().collect();
        for peer in self.peers.values_mut().filter(|peer| peer.replica == from) {
            peer.hears.clone_from(&hears);
        }
        let ours: BTreeMap<_, _> = self.ledger.roots().collect();
        let differ =
            roots.into_iter().filter(|(id, root)| ours.get(id).copied().unwrap_or_default() != *root);
        // Of this node's own entries, nobody has newer ones.
        let differ = differ.map(|(id, _)| id).filter(|id| *id != self.me).take(REPLICAS_AT_ONCE);
        differ.map(|id| (self.ledger.digests(&id), id)).map(|(digests, id)| (id, digests)).collect()
    }

    /// A peer has answered with what it holds: where that differs, it is to get what is held here.
    pub fn compared(&mut self, number: u64, differing: &[(ReplicaId, Vec<Digest>)]) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        for (id, digests) in differing {
            self.ledger.differing(id, digests).for_each(|place| peer.link.mark(place));
        }
    }

    /// The next batch for a peer, if there is one to send now.
    pub fn next_batch(&mut self, number: u64) -> Option<(u64, Batch)> {
        self.peers.get_mut(&number)?.link.next_batch(&self.me, &self.ledger)
    }

    /// Whether a batch has arrived.
    pub fn sent(&mut self, number: u64, batch: u64, arrived: bool) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        if arrived { peer.link.acknowledged(batch) } else { peer.link.failed(batch) }
    }

    /// Behind all that the peer lacks now.
    #[must_use]
    pub fn end(&self, number: u64) -> Option<Point> {
        self.peers.get(&number).map(|peer| peer.link.end())
    }

    /// Whether the peer has all that it lacked then. `Lost` if the connection is gone.
    #[must_use]
    pub fn has_reached(&self, number: u64, point: Point) -> Reached {
        self.peers.get(&number).map_or(Reached::Lost, |peer| peer.link.has_reached(point))
    }

    /// How many entries a peer has not acknowledged.
    #[must_use]
    pub fn lag(&self, number: u64) -> usize {
        self.peers.get(&number).map_or(0, |peer| peer.link.lag())
    }

    /// All entries of a name.
    #[must_use]
    pub fn entries(&self, name: &CounterName) -> Vec<Entry<ReplicaId>> {
        self.ledger.entries(name).map(|(id, count)| Entry::new(id.clone(), count)).collect()
    }
}

#[cfg(test)]
mod tests;
