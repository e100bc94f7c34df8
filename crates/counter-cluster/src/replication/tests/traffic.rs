//! Bytes that two nodes exchange when they connect again, in both directions.

use super::*;

/// Counts the messages between two nodes.
struct Traffic {
    nodes: [Replication; 2],
    bytes: usize,
}

impl Traffic {
    /// Connects two nodes that hold entries of a third, and exchanges everything. Returns the bytes.
    fn of(nodes: [Replication; 2]) -> usize {
        let mut traffic = Self { nodes, bytes: 0 };
        for (node, peer) in [(0, 1), (1, 0)] {
            traffic.nodes[node].joined(peer as u64, id(peer));
        }
        for (node, peer) in [(0, 1), (1, 0)] {
            traffic.compare(node, peer);
            traffic.send(node, peer);
        }
        let [a, b] = &traffic.nodes;
        assert!(a.ledger().roots().zip(b.ledger().roots()).skip(1).all(|(a, b)| a == b), "they agree");
        traffic.bytes
    }

    fn compare(&mut self, node: usize, peer: usize) {
        let index = peer as u64;
        while let Some(comparison) = self.nodes[node].next_comparison(index) {
            self.count(&Request::Compare(comparison.clone()));
            let asked: Vec<_> = comparison.roots.iter().map(|(id, _)| id.clone()).collect();
            let differing = self.nodes[peer].compare(comparison);
            self.count(&Reply::Differing(differing.clone()));
            self.nodes[node].compared(index, &asked, &differing);
        }
        while let Some(examination) = self.nodes[node].next_examination(index) {
            self.count(&Request::Examine(examination.clone()));
            let salt = examination.parts.salt;
            let digests = self.nodes[peer].examine(examination);
            self.count(&Reply::Examined(digests.clone()));
            self.nodes[node].examined(index, salt, Some(&digests));
        }
        assert!(self.nodes[node].is_compared(index));
    }

    fn send(&mut self, node: usize, peer: usize) {
        while let Some((number, batch)) = self.nodes[node].next_batch(peer as u64) {
            self.count(&Request::Merge(batch.clone()));
            let corrections = self.nodes[peer].merge(&batch);
            self.count(&Reply::Merged(corrections));
            self.nodes[node].sent(peer as u64, number, true);
        }
    }

    /// Counts a message, with 100 bytes for what is around it.
    fn count(&mut self, message: &impl serde::Serialize) {
        let len = encode(message).len();
        assert!(len < 2 * BATCH_BYTES);
        self.bytes += len + 100;
    }
}

/// A node with entries of a third one that is not there, of which every `newer`th has counted more.
fn node(number: usize, names: u32, newer: Option<u32>) -> Replication {
    let mut node = Replication::new(id(number), KEY);
    for first in (0..names).step_by(4096) {
        let entry = |of: u32| {
            let operations = if newer.is_some_and(|newer| of % newer == newer / 2) { 9 } else { 1 };
            Entry { of: CounterName::new(format!("key-{of:06}")).unwrap(), value: 1, operations }
        };
        let entries = (first..names.min(first + 4096)).map(entry).collect();
        node.merge(&Batch { from: id(2), columns: vec![(id(3), entries)] });
    }
    node
}

/// Bytes that are exchanged if so many of these names differ, for each byte of a full copy.
fn share_of_a_full_copy(names: u32, differing: u32) -> f64 {
    let full = Traffic::of([node(0, names, None), node(1, 0, None)]);
    let again = Traffic::of([node(0, names, None), node(1, names, Some(names / differing))]);
    again as f64 / full as f64
}

#[test]
fn nodes_that_connect_again_exchange_less_than_a_twentieth_if_one_in_a_thousand_names_differs() {
    assert!(share_of_a_full_copy(100_000, 100) < 0.05);
}

#[test]
fn comparing_adds_less_than_a_quarter_to_what_is_sent_if_half_of_all_names_differ() {
    for names in [3_000, 12_000, 40_000] {
        // Both send nearly everything, because hardly a part is equal.
        assert!(share_of_a_full_copy(names, names / 2) < 2.0 * 1.25);
    }
}
