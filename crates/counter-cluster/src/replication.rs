mod descent;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use counter_protocol::{Count, CounterName};
use mutations::Mutation;

use crate::ledger::{Digest, Ledger, PartDigests, Scope, Source};
use crate::link::{Checkpoint, Link, Progress};
use crate::replica::ReplicaId;
use crate::wire::{
    BATCH_BYTES, Batch, Comparison, DIGESTS_AT_ONCE, DIRECT_PEERS_AT_ONCE, Differing, ENTRIES_AT_ONCE,
    ENTRY_BYTES, Entry, Examination, PARTS_AT_ONCE, ROOTS_AT_ONCE,
};
use descent::Descent;

pub(crate) use stored::{StorePosition, StoreQueue};

/// The entries that a node knows, and those that its peers lack. Pure: messages come in, batches go out.
///
/// - This node's entries are sent to every peer, each once it has changed.
/// - Entries of another replica are relayed to a peer only if that peer is not connected to the replica itself.
/// - Entries that were missed are found by comparing digests, of ever smaller parts of what differs. When a connection
///   begins, everything is compared. Later only quiet replicas are, because those that count differ all the time, and
///   their entries are on their way.
/// - Of a replica that is connected, only its own entries are taken. Others may relay them while it is not connected.
///   When it connects, it is shown the relayed ones, and [corrects](Self::corrected) those that it has not counted.
#[derive(Debug)]
pub struct Replication {
    me: ReplicaId,
    mine: u32,
    ledger: Ledger,
    peers: BTreeMap<u64, Peer>,
    /// Digest of each column at the last comparison of quiet ones.
    before: Vec<Digest>,
    /// Column with which the next comparison of quiet ones begins.
    next_quiet: u32,
    /// Salt of the latest examination. No two have the same, in no incarnation.
    salt: u64,
    refused: u64,
    /// Entries of others that the node's store has yet to commit, if it has one.
    store: Option<StoreQueue>,
    is_overtaken: bool,
}

#[derive(Debug)]
struct Peer {
    replica: ReplicaId,
    link: Link,
    /// Replicas that it is connected to.
    direct_peers: BTreeSet<ReplicaId>,
    /// Number of columns when the connection began. The entries of them that the peer lacks are known once it has
    /// answered their comparison; later ones are sent anyway.
    columns: u32,
    /// The first of them that it has not answered for.
    next_column: u32,
    /// Parts that its answers have shown to differ, but not exactly enough.
    descent: Descent,
}

impl Peer {
    /// Returns true if it has answered the comparison of all columns, in as much detail as was needed.
    fn is_compared(&self) -> bool {
        self.has_roots() && self.descent.is_over()
    }

    /// Returns true if it has answered the first comparison.
    const fn has_roots(&self) -> bool {
        self.next_column >= self.columns
    }

    /// Returns the entries to look for in a column of that replica: of its own, those that it may have to correct.
    fn scope(&self, of: &ReplicaId) -> Scope {
        if self.replica == *of { Scope::Relayed } else { Scope::All }
    }

    fn has_to_be_told(&self, of: &ReplicaId) -> bool {
        self.replica != *of && !self.direct_peers.contains(of)
    }
}

impl Replication {
    /// Makes a node that knows nothing. All nodes of a cluster need the same key.
    #[must_use]
    pub fn new(me: ReplicaId, key: [u64; 2]) -> Self {
        Self::over(me, Ledger::new(key), None).expect("an empty ledger has room")
    }

    /// Makes a node that knows a ledger. `None` if that has no room for the node's own replica.
    fn over(me: ReplicaId, mut ledger: Ledger, store: Option<StoreQueue>) -> Option<Self> {
        let mine = ledger.add_column(&me, Source::Direct)?;
        let salt = me.incarnation;
        Some(Self {
            me,
            mine,
            ledger,
            peers: BTreeMap::new(),
            before: Vec::new(),
            next_quiet: 0,
            salt,
            refused: 0,
            store,
            is_overtaken: false,
        })
    }

    /// Returns this node's replica.
    #[must_use]
    pub const fn me(&self) -> &ReplicaId {
        &self.me
    }

    /// Returns the entries that are known.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the number of entries that were refused because the ledger has no room for another replica.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the replicas that have forked since the last call.
    pub fn take_new_forks(&mut self) -> Vec<ReplicaId> {
        self.ledger.take_new_forks()
    }

    /// Notes counts of this node.
    pub fn counted(&mut self, counters: impl IntoIterator<Item = (CounterName, Count)>) {
        for (name, count) in counters {
            if let Some(place) = self.ledger.merge(self.mine, &name, count, Source::Direct) {
                self.peers.values_mut().for_each(|peer| peer.link.mark(place));
            }
        }
    }

    /// Adds a connection to a peer, under an index that the caller chooses.
    pub fn joined(&mut self, index: u64, replica: ReplicaId) {
        let (link, direct_peers) = (Link::default(), BTreeSet::new());
        let columns = if Mutation::CompareBeforeLoading.is_planted() { 0 } else { self.columns() };
        let descent = Descent::default();
        self.peers.insert(index, Peer { replica, link, direct_peers, columns, next_column: 0, descent });
    }

    /// Removes a connection, with all batches that were under way.
    pub fn left(&mut self, index: u64) {
        self.peers.remove(&index);
    }

    /// Returns true while the connection is there.
    #[must_use]
    pub fn has_joined(&self, index: u64) -> bool {
        self.peers.contains_key(&index)
    }

    /// Returns the connections and the replicas at their other ends.
    pub fn peers(&self) -> impl Iterator<Item = (u64, &ReplicaId)> {
        self.peers.iter().map(|(index, peer)| (*index, &peer.replica))
    }

    /// Merges the entries of a batch that its sender may send. Returns this node's own counts where the batch claims
    /// more.
    ///
    /// The caller has verified that the batch is from whom it says.
    pub fn merge(&mut self, Batch { from, columns }: &Batch) -> Vec<Entry> {
        let mut corrections = Vec::new();
        for (id, entries) in columns {
            if *id == self.me {
                corrections = self.answer_claims(entries);
            } else if id == from {
                self.merge_column(from, id, entries, Source::Direct);
            } else if !self.is_connected(id) {
                self.merge_column(from, id, entries, Source::Relayed);
            }
        }
        corrections
    }

    /// Notes that a peer has answered a batch with its own counts where they are less.
    pub fn corrected(&mut self, index: u64, entries: &[Entry]) {
        let Some(id) = self.peers.get(&index).map(|peer| peer.replica.clone()) else { return };
        let Some(column) = self.ledger.column(&id) else { return };
        for entry in entries {
            let Some(place) = self.ledger.correct(column, &entry.of, entry.count()) else { continue };
            self.store.iter_mut().for_each(|store| store.push(place));
            if entry.operations > 0 {
                let peers = self.peers.values_mut().filter(|peer| peer.has_to_be_told(&id));
                peers.for_each(|peer| peer.link.mark(place));
            }
        }
    }

    /// Returns a comparison of quiet replicas: those that have not changed since the last call.
    ///
    /// This node's own replica is left out, because its entries are sent anyway. If there are too many for one message,
    /// each call returns the next ones.
    pub fn quiet(&mut self) -> Comparison {
        let now: Vec<_> = self.ledger.roots().collect();
        let is_quiet = |column: u32| {
            let root = now[column as usize];
            root != 0 && column != self.mine && self.before.get(column as usize) == Some(&root)
        };
        let (first, end) = (self.next_quiet, self.columns());
        let columns = (first..end).chain(0..first.min(end));
        let quiet: Vec<_> = columns.filter(|column| is_quiet(*column)).take(ROOTS_AT_ONCE + 1).collect();
        self.next_quiet = quiet.get(ROOTS_AT_ONCE).copied().unwrap_or_default();
        self.before = now;
        let root = |column: u32| (self.ledger.id(column).clone(), self.before[column as usize]);
        self.comparison(quiet.into_iter().take(ROOTS_AT_ONCE).map(root).collect())
    }

    /// Returns the next part of the first comparison with a peer, or `None` if the peer has answered all of it.
    #[must_use]
    pub fn next_comparison(&self, index: u64) -> Option<Comparison> {
        let peer = self.peers.get(&index).filter(|peer| !peer.has_roots())?;
        let columns =
            (peer.next_column..peer.columns).zip(self.ledger.roots().skip(peer.next_column as usize));
        let roots = columns.filter(|(_, root)| *root != 0).take(ROOTS_AT_ONCE);
        Some(self.comparison(roots.map(|(column, root)| (self.ledger.id(column).clone(), root)).collect()))
    }

    /// Returns the comparison that is due with a peer: the next part of the first one, or else that of quiet replicas,
    /// unless the peer is still being asked about earlier differences.
    #[must_use]
    pub fn due_comparison(&self, index: u64, quiet: &Comparison) -> Comparison {
        let is_compared = self.peers.get(&index).is_some_and(Peer::is_compared);
        let rest = || if is_compared { quiet.clone() } else { self.comparison(Vec::new()) };
        self.next_comparison(index).unwrap_or_else(rest)
    }

    /// Answers a comparison.
    pub fn compare(&mut self, Comparison { from, direct_peers, roots }: Comparison) -> Differing {
        let direct_peers: BTreeSet<_> = direct_peers.into_iter().collect();
        for peer in self.peers.values_mut().filter(|peer| peer.replica == from) {
            peer.direct_peers.clone_from(&direct_peers);
        }
        let (mut replicas, mut examined, mut digests) = (Vec::new(), 0, 0);
        for (id, root) in roots.into_iter().take(ROOTS_AT_ONCE) {
            if self.ledger.root(&id) != root && self.is_wanted(&from, &id) {
                let ours = self.ledger.digests(&id);
                digests += ours.len();
                // The rest is asked for again.
                if digests > DIGESTS_AT_ONCE {
                    break;
                }
                replicas.push((id, ours));
            }
            examined += 1;
        }
        Differing { examined, replicas }
    }

    /// Marks the entries where a peer's answer to a comparison differs, to be sent to it.
    ///
    /// Of the peer's own replica, those are the relayed entries, for it to correct.
    pub fn compared(&mut self, index: u64, asked: &[ReplicaId], differing: &Differing) {
        let Some(peer) = self.peers.get_mut(&index) else { return };
        let examined = asked.len().min(differing.examined as usize);
        let is_end = examined == asked.len() && asked.len() < ROOTS_AT_ONCE;
        let last = asked[..examined].last().and_then(|id| self.ledger.column(id));
        let next = if is_end { peer.columns } else { last.map_or(0, |column| column + 1) };
        peer.next_column = peer.next_column.max(next);
        for (id, digests) in &differing.replicas {
            let Some(column) = self.ledger.column(id) else { continue };
            let scope = peer.scope(id);
            let paths = self.ledger.compare_buckets(column, digests, scope, |place| peer.link.mark(place));
            peer.descent.add(column, 0, paths);
        }
    }

    /// Returns the next parts to ask a peer for, or `None` if there are none or others are being asked for.
    pub fn next_examination(&mut self, index: u64) -> Option<Examination> {
        let peer = self.peers.get_mut(&index)?;
        let (column, parts) = peer.descent.next(self.salt.wrapping_add(1), &self.ledger)?;
        self.salt = parts.salt;
        Some(Examination { from: self.me.clone(), replica: self.ledger.id(column).clone(), parts })
    }

    /// Answers an examination.
    #[must_use]
    pub fn examine(&self, Examination { replica, mut parts, .. }: Examination) -> Vec<PartDigests> {
        parts.paths.truncate(PARTS_AT_ONCE);
        self.ledger.column(&replica).map_or_else(Vec::new, |column| self.ledger.part_digests(column, &parts))
    }

    /// Marks the entries where a peer's answer to an examination differs. `None` if it has not answered.
    pub fn examined(&mut self, index: u64, salt: u64, digests: Option<&[PartDigests]>) {
        let Some(peer) = self.peers.get_mut(&index) else { return };
        let Some(digests) = digests else { return peer.descent.failed(salt) };
        if let Some((column, parts)) = peer.descent.answered(salt) {
            let scope = peer.scope(self.ledger.id(column));
            let paths =
                self.ledger.compare_parts(column, &parts, digests, scope, |place| peer.link.mark(place));
            peer.descent.add(column, parts.level + 1, paths);
        }
    }

    /// Returns the next batch for a peer and its number, or `None` if there is none to send now.
    pub fn next_batch(&mut self, index: u64) -> Option<(u64, Batch)> {
        self.peers.get_mut(&index)?.link.next_batch(&self.me, &self.ledger)
    }

    /// Notes that a batch has arrived, or that it may not have.
    pub fn sent(&mut self, index: u64, batch: u64, arrived: bool) {
        let Some(peer) = self.peers.get_mut(&index) else { return };
        if arrived { peer.link.acknowledged(batch) } else { peer.link.failed(batch) }
    }

    /// Returns true once the peer has answered the first comparison, so that what it lacks is known.
    #[cfg(test)]
    pub(crate) fn is_compared(&self, index: u64) -> bool {
        self.peers.get(&index).is_some_and(Peer::is_compared)
    }

    /// Returns the position behind everything that the peer lacks now, if that is known.
    #[must_use]
    pub fn checkpoint(&self, index: u64) -> Option<Checkpoint> {
        self.peers.get(&index).filter(|peer| peer.is_compared()).map(|peer| peer.link.checkpoint())
    }

    /// Returns a peer's progress towards a checkpoint; `Lost` if the connection is gone.
    #[must_use]
    pub fn progress(&self, index: u64, checkpoint: Checkpoint) -> Progress {
        self.peers.get(&index).map_or(Progress::Lost, |peer| peer.link.progress(checkpoint))
    }

    /// Returns the number of entries that a peer has not acknowledged.
    #[must_use]
    pub fn lag(&self, index: u64) -> usize {
        self.peers.get(&index).map_or(0, |peer| peer.link.lag())
    }

    /// Returns this node's entry of a name and those of other replicas, without the oldest if there are too many for
    /// one message.
    #[must_use]
    pub fn entries(&self, name: &CounterName) -> Vec<Entry<ReplicaId>> {
        let own = self.ledger.entries(name).filter(|(id, _)| **id == self.me).take(1);
        let others = self.ledger.entries(name).rev().filter(|(id, _)| **id != self.me);
        let entries = own.chain(others).take(ENTRIES_AT_ONCE);
        entries.map(|(id, count)| Entry::new(id.clone(), count)).collect()
    }

    fn columns(&self) -> u32 {
        u32::try_from(self.ledger.roots().len()).expect("columns are numbered in 32 bits")
    }

    fn comparison(&self, roots: Vec<(ReplicaId, Digest)>) -> Comparison {
        let direct_peers = self.peers.values().map(|peer| peer.replica.clone()).take(DIRECT_PEERS_AT_ONCE);
        Comparison { from: self.me.clone(), direct_peers: direct_peers.collect(), roots }
    }

    fn is_connected(&self, id: &ReplicaId) -> bool {
        self.peers.values().any(|peer| peer.replica == *id)
    }

    /// Returns true if a replica's entries would be taken from that sender, or corrected.
    fn is_wanted(&self, from: &ReplicaId, id: &ReplicaId) -> bool {
        let source = if from == id { Source::Direct } else { Source::Relayed };
        let is_known = self.ledger.column(id).is_some();
        (is_known || self.ledger.has_room(source)) && (from == id || !self.is_connected(id))
    }

    fn merge_column(&mut self, from: &ReplicaId, id: &ReplicaId, entries: &[Entry], source: Source) {
        let entries = entries.iter().filter(|entry| entry.operations > 0);
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            return;
        }
        let Some(column) = self.ledger.add_column(id, source) else {
            self.refused += entries.count() as u64;
            return;
        };
        let peers = self.peers.values_mut();
        let mut onward: Vec<_> =
            peers.filter(|peer| peer.replica != *from && peer.has_to_be_told(id)).collect();
        for entry in entries {
            if let Some(place) = self.ledger.merge(column, &entry.of, entry.count(), source) {
                self.store.iter_mut().for_each(|store| store.push(place));
                onward.iter_mut().for_each(|peer| peer.link.mark(place));
            }
        }
    }

    /// Takes what somebody else holds of this node, and returns this node's counts where that cannot be.
    ///
    /// A node with a store has sent only what was durable. If others hold more of it, its disk has lost something, and
    /// they are right.
    fn answer_claims(&mut self, entries: &[Entry]) -> Vec<Entry> {
        let corrections = self.corrections(entries);
        if self.store.is_none() {
            return corrections;
        }
        self.is_overtaken |= !corrections.is_empty();
        Vec::new()
    }

    /// Returns counts of this node where somebody else holds an entry that it cannot have sent.
    fn corrections(&self, entries: &[Entry]) -> Vec<Entry> {
        let mut bytes = 0;
        let wrong = entries.iter().filter_map(|entry| {
            let count = self.ledger.get(self.mine, &entry.of);
            let is_possible = entry.operations < count.operations || entry.count() == count;
            (!is_possible).then(|| Entry::new(entry.of.clone(), count))
        });
        let fits = |entry: &Entry| {
            bytes += entry.of.as_bytes().len() + ENTRY_BYTES;
            bytes <= BATCH_BYTES + CounterName::MAX_BYTES + ENTRY_BYTES
        };
        wrong.take_while(fits).collect()
    }
}

#[cfg(test)]
mod tests;
