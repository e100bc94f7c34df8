//! Several nodes in one thread, with a network in between that loses, repeats, reorders and cuts.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::ledger::{MAX_REPLICAS, Parts, RESERVED_REPLICAS};
use crate::link::WINDOW;
use crate::wire::{Differing, MAX_FRAME_BYTES, Reply, Request, encode};

mod traffic;

const NODES: usize = 4;
const KEY: [u64; 2] = [3, 4];

/// Number of names that are counted: so many in one bucket that it is divided when it differs.
const NAMES: u8 = 40;

fn name(of: u8) -> CounterName {
    static NAMES_IN_BUCKET: LazyLock<Vec<CounterName>> =
        LazyLock::new(|| Ledger::new(KEY).names_in_bucket(0).take(NAMES.into()).collect());
    NAMES_IN_BUCKET[usize::from(of)].clone()
}

fn id(node: usize) -> ReplicaId {
    ReplicaId { node: format!("n{node}").parse().unwrap(), incarnation: 1 }
}

#[derive(Clone, Debug)]
enum Step {
    Count {
        node: usize,
        name: u8,
        value: i64,
    },
    /// The link between two nodes begins or ends.
    Toggle(usize, usize),
    /// A node sends a batch, which is lost, arrives, or arrives twice and once more later; the answer may be lost.
    Send {
        node: usize,
        to: usize,
        arrives: usize,
        answered: bool,
    },
    Compare {
        node: usize,
        to: usize,
    },
    /// A node asks about what differs; the answer may be lost, or arrive twice.
    Examine {
        node: usize,
        to: usize,
        answers: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        8 => (node.clone(), 0..NAMES, -5..9_i64).prop_map(|(node, name, value)| Step::Count { node, name, value }),
        1 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Toggle(a, b)),
        4 => (node.clone(), node.clone(), 0..3_usize, any::<bool>())
            .prop_map(|(node, to, arrives, answered)| Step::Send { node, to, arrives, answered }),
        1 => (node.clone(), node.clone()).prop_map(|(node, to)| Step::Compare { node, to }),
        2 => (node.clone(), node, 0..3_usize).prop_map(|(node, to, answers)| Step::Examine { node, to, answers }),
    ]
}

struct World {
    nodes: Vec<Replication>,
    /// Counts of each node, by name.
    counted: Vec<BTreeMap<u8, Count>>,
    /// Batches that will arrive once more, much later.
    late: Vec<(usize, Batch)>,
}

impl World {
    fn new() -> Self {
        let nodes = (0..NODES).map(|node| Replication::new(id(node), KEY)).collect();
        Self { nodes, counted: vec![BTreeMap::new(); NODES], late: Vec::new() }
    }

    fn are_linked(&self, a: usize, b: usize) -> bool {
        self.nodes[a].peers().any(|(number, _)| number == b as u64)
    }

    fn join(&mut self, a: usize, b: usize) {
        if a == b || self.are_linked(a, b) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.nodes[from].joined(to as u64, id(to));
        }
        for (from, to) in [(a, b), (b, a)] {
            while let Some(comparison) = self.nodes[from].next_comparison(to as u64) {
                self.exchange(from, to, comparison);
            }
        }
    }

    fn exchange(&mut self, from: usize, to: usize, comparison: Comparison) {
        let asked: Vec<_> = comparison.roots.iter().map(|(id, _)| id.clone()).collect();
        let differing = self.nodes[to].compare(comparison);
        self.nodes[from].compared(to as u64, &asked, &differing);
    }

    /// Asks about the next parts that differ. Returns false if there are none.
    fn examine(&mut self, from: usize, to: usize, answers: usize) -> bool {
        let Some(examination) = self.nodes[from].next_examination(to as u64) else { return false };
        assert_eq!(self.nodes[from].next_examination(to as u64), None, "one is under way");
        assert!(!self.nodes[from].is_compared(to as u64));
        let salt = examination.parts.salt;
        let digests = self.nodes[to].examine(examination);
        (0..answers).for_each(|_| self.nodes[from].examined(to as u64, salt, Some(&digests)));
        if answers == 0 {
            self.nodes[from].examined(to as u64, salt, None);
        }
        true
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Count { node, name, value } => {
                let count = self.counted[node].entry(name).or_default();
                *count = Count { value: count.value + value, operations: count.operations + 1 };
                let count = *count;
                self.nodes[node].counted([(self::name(name), count)]);
            }
            Step::Toggle(a, b) if self.are_linked(a, b) => {
                self.nodes[a].left(b as u64);
                self.nodes[b].left(a as u64);
            }
            Step::Toggle(a, b) => self.join(a, b),
            Step::Send { node, to, arrives, answered } => {
                if let Some((number, batch)) = self.nodes[node].next_batch(to as u64) {
                    (0..arrives).for_each(|_| assert_eq!(self.nodes[to].merge(&batch), []));
                    self.nodes[node].sent(to as u64, number, answered && arrives > 0);
                    self.late.push((to, batch));
                }
            }
            Step::Compare { node, to } => {
                if self.are_linked(node, to) {
                    let quiet = self.nodes[node].quiet();
                    let comparison = self.nodes[node].due_comparison(to as u64, &quiet);
                    self.exchange(node, to, comparison);
                }
            }
            Step::Examine { node, to, answers } => _ = self.examine(node, to, answers),
        }
    }

    /// A few rounds in which nothing is lost any more.
    fn settle(&mut self) {
        for _ in 0..2 * NODES {
            for node in 0..NODES {
                let peers: Vec<_> = self.nodes[node].peers().map(|(number, _)| number).collect();
                let quiet = self.nodes[node].quiet();
                for number in peers {
                    let to = usize::try_from(number).unwrap();
                    let comparison = self.nodes[node].due_comparison(number, &quiet);
                    self.exchange(node, to, comparison);
                    while self.examine(node, to, 1) {}
                    while let Some((batch_number, batch)) = self.nodes[node].next_batch(number) {
                        let corrections = self.nodes[to].merge(&batch);
                        self.nodes[node].sent(number, batch_number, true);
                        self.nodes[node].corrected(number, &corrections);
                    }
                }
            }
        }
    }

    fn sums(&self, node: usize) -> BTreeMap<u8, i128> {
        let sum = |of: u8| {
            let name = name(of);
            let entries = self.nodes[node].ledger().entries(&name);
            (of, entries.map(|(_, count)| i128::from(count.value)).sum())
        };
        (0..NAMES).map(sum).collect()
    }
}

proptest! {
    #[test]
    fn all_agree_after_loss_repetition_reordering_and_cuts(steps in prop::collection::vec(step(), 0..150), in_a_row: bool) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
        for (to, batch) in std::mem::take(&mut world.late) {
            prop_assert_eq!(world.nodes[to].merge(&batch), []);
        }
        // At the end all are connected: each with each, or only with its neighbours.
        for a in 0..NODES {
            for b in 0..NODES {
                let wanted = a.abs_diff(b) == 1 || (!in_a_row && a != b);
                if wanted != world.are_linked(a, b) && a != b {
                    world.take(&Step::Toggle(a, b));
                }
            }
        }
        world.settle();
        let mut expected: BTreeMap<u8, i128> = (0..NAMES).map(|name| (name, 0)).collect();
        for (name, count) in world.counted.iter().flatten() {
            *expected.entry(*name).or_default() += i128::from(count.value);
        }
        for node in 0..NODES {
            prop_assert_eq!(world.sums(node), expected.clone());
            for (number, _) in world.nodes[node].peers() {
                prop_assert_eq!(world.nodes[node].lag(number), 0);
            }
        }
    }
}

/// A batch in which one node says what another one has counted.
fn relay(from: usize, of: usize, name: &'static str, count: Count) -> Batch {
    let entry = Entry::new(CounterName::from_static(name), count);
    Batch { from: id(from), columns: vec![(id(of), vec![entry])] }
}

const FORGED: Count = Count { value: i64::MAX, operations: u64::MAX };

#[test]
fn of_a_replica_that_is_connected_only_its_own_word_is_taken() {
    let mut world = World::new();
    world.join(0, 1);
    world.join(0, 2);
    world.nodes[0].merge(&relay(2, 1, "a", FORGED));
    let a = CounterName::from_static("a");
    assert_eq!(world.nodes[0].entries(&a), []);
    let count = Count { value: 1, operations: 1 };
    world.nodes[1].counted([(a.clone(), count)]);
    world.settle();
    assert_eq!(world.nodes[0].entries(&a), [Entry::new(id(1), count)]);
}

#[test]
fn what_others_have_forged_is_corrected_when_the_replica_itself_is_there() {
    let mut world = World::new();
    world.join(0, 2);
    let [counted, invented] = ["counted", "invented"].map(CounterName::from_static);
    for name in ["counted", "invented"] {
        world.nodes[0].merge(&relay(2, 1, name, FORGED));
        assert_eq!(world.nodes[0].entries(&CounterName::from_static(name)), [Entry::new(id(1), FORGED)]);
    }
    let count = Count { value: 1, operations: 1 };
    world.nodes[1].counted([(counted.clone(), count)]);
    world.join(0, 1);
    world.settle();
    assert_eq!(world.nodes[0].entries(&counted), [Entry::new(id(1), count)]);
    assert_eq!(world.nodes[0].entries(&invented), []);
    assert_eq!(world.nodes[0].ledger().names(), 1);
}

#[test]
fn entries_of_further_replicas_are_refused_and_counted() {
    let mut node = Replication::new(id(0), KEY);
    let replica = |incarnation| ReplicaId { incarnation, ..id(2) };
    let entry = Entry::new(CounterName::from_static("a"), Count { value: 1, operations: 1 });
    let columns = (0..MAX_REPLICAS as u64).map(|n| (replica(n), vec![entry.clone()])).collect();
    node.merge(&Batch { from: id(1), columns });
    // Its own column is there as well.
    assert_eq!(node.refused(), RESERVED_REPLICAS as u64 + 1);
    node.merge(&relay(3, 3, "a", Count { value: 1, operations: 1 }));
    assert_eq!(node.refused(), RESERVED_REPLICAS as u64 + 1);
    // What would be refused is not asked for again.
    let roots = vec![(replica(u64::MAX), 1)];
    assert_eq!(node.compare(Comparison { from: id(1), direct_peers: Vec::new(), roots }).replicas, []);
}

#[test]
fn nodes_agree_after_more_incarnations_than_fit_into_one_message() {
    let mut world = World::new();
    let entry = Entry::new(CounterName::from_static("a"), Count { value: 1, operations: 1 });
    let node: ractor_transport::NodeName = "n".repeat(ractor_transport::MAX_NODE_NAME_BYTES).parse().unwrap();
    let replica = |n: u64| ReplicaId { node: node.clone(), incarnation: u64::MAX - n };
    let columns = (0..16_000).map(|n| (replica(n), vec![entry.clone()])).collect();
    world.nodes[2].merge(&Batch { from: id(3), columns });
    let len = |comparison: Comparison| encode(&Request::Compare(comparison)).len();
    world.nodes[2].joined(9, id(4));
    assert!(len(world.nodes[2].next_comparison(9).unwrap()) < MAX_FRAME_BYTES);
    world.nodes[2].left(9);
    for node in [0, 1] {
        // The first half to one, the second to the other.
        let columns = (0..8_000).map(|n| (replica(n + 8_000 * node), vec![entry.clone()])).collect();
        world.nodes[usize::try_from(node).unwrap()].merge(&Batch { from: id(3), columns });
    }
    world.join(0, 1);
    for (node, peer) in [(0, 1), (1, 0)] {
        assert_eq!(world.nodes[node].lag(peer), 8_000, "all that the peer lacks is known at once");
    }
    world.settle();
    assert!(len(world.nodes[0].quiet()) < MAX_FRAME_BYTES);
    let replicas =
        |node: usize| world.nodes[node].ledger().replicas().filter(|(_, totals)| totals.names > 0).count();
    assert_eq!((replicas(0), replicas(1)), (16_000, 16_000));
    let read = Reply::Entries(world.nodes[0].entries(&CounterName::from_static("a")));
    assert!(encode(&read).len() < MAX_FRAME_BYTES);
}

#[test]
fn an_entry_with_the_longest_name_travels() {
    let mut world = World::new();
    world.join(0, 1);
    let names = (0..20_u8).map(|n| CounterName::new(vec![n; CounterName::MAX_BYTES]).unwrap());
    world.nodes[0].counted(names.clone().map(|name| (name, FORGED)));
    while let Some((number, batch)) = world.nodes[0].next_batch(1) {
        assert!(encode(&Request::Merge(batch.clone())).len() < MAX_FRAME_BYTES);
        world.nodes[1].merge(&batch);
        world.nodes[0].sent(1, number, true);
    }
    for name in names {
        assert_eq!(world.nodes[1].entries(&name), [Entry::new(id(0), FORGED)]);
    }
}

#[test]
fn entries_of_a_direct_peer_of_a_peer_are_not_relayed_to_it() {
    let mut world = World::new();
    world.join(0, 1);
    world.join(1, 2);
    world.join(0, 2);
    world.settle();
    world.take(&Step::Count { node: 0, name: 1, value: 1 });
    let (_, batch) = world.nodes[0].next_batch(1).unwrap();
    world.nodes[1].merge(&batch);
    assert_eq!(world.nodes[1].lag(2), 0);
}

#[test]
fn entries_of_a_replica_that_a_peer_is_not_connected_to_are_relayed_at_once() {
    let mut world = World::new();
    world.join(0, 1);
    world.join(1, 2);
    world.settle();
    world.take(&Step::Count { node: 0, name: 1, value: 1 });
    let (_, batch) = world.nodes[0].next_batch(1).unwrap();
    world.nodes[1].merge(&batch);
    assert_eq!(world.nodes[1].lag(2), 1);
}

#[test]
fn nobody_overwrites_what_a_node_itself_has_counted() {
    let mut node = Replication::new(id(0), KEY);
    node.counted([(CounterName::from_static("a"), Count { value: 1, operations: 1 })]);
    let entry = Entry { of: CounterName::from_static("a"), value: 9, operations: 9 };
    node.merge(&Batch { from: id(1), columns: vec![(id(0), vec![entry])] });
    assert_eq!(node.entries(&CounterName::from_static("a")), [Entry { of: id(0), value: 1, operations: 1 }]);
}

#[test]
fn a_window_bounds_what_is_under_way_and_what_changes_meanwhile_waits_once() {
    let mut node = Replication::new(id(0), KEY);
    node.joined(1, id(1));
    node.compared(1, &[], &Differing { examined: 0, replicas: Vec::new() });
    let name = |n: u32| CounterName::new(format!("{n:0>1000}")).unwrap();
    let counted = |operations| (0..1000).map(move |n| (name(n), Count { value: 1, operations }));
    (1..=2).for_each(|operations| node.counted(counted(operations)));
    let mut batches = Vec::new();
    while let Some((number, _)) = node.next_batch(1) {
        batches.push(number);
    }
    assert_eq!(batches.len(), WINDOW);
    assert_eq!(node.lag(1), 1000);
    let checkpoint = node.checkpoint(1).unwrap();
    (3..50).for_each(|operations| node.counted(counted(operations)));
    assert!(node.lag(1) <= 2000);
    assert_eq!(node.progress(1, checkpoint), Progress::Pending);
    while let Some(number) = batches.pop() {
        node.sent(1, number, true);
        while let Some((number, _)) = node.next_batch(1) {
            batches.push(number);
        }
    }
    assert_eq!(node.progress(1, checkpoint), Progress::Reached);
    assert_eq!(node.lag(1), 0);
    let checkpoint = node.checkpoint(1).unwrap();
    node.counted([(CounterName::from_static("a"), Count { value: 1, operations: 1 })]);
    let (number, _) = node.next_batch(1).unwrap();
    node.sent(1, number, false);
    assert_eq!(node.progress(1, checkpoint), Progress::Lost);
    assert_eq!(node.lag(1), 1);
}

#[test]
fn what_a_peer_lacks_is_known_when_it_has_answered_a_comparison_of_everything() {
    let [mut node, mut peer] = [0, 1].map(|number| Replication::new(id(number), KEY));
    node.counted([(CounterName::from_static("a"), Count { value: 1, operations: 1 })]);
    node.joined(1, id(1));
    assert!(node.has_joined(1) && !node.is_compared(1));
    assert_eq!(node.checkpoint(1), None);

    let comparison = node.next_comparison(1).unwrap();
    node.compared(1, &[id(0)], &peer.compare(comparison));
    assert!(node.is_compared(1));
    let checkpoint = node.checkpoint(1).unwrap();
    assert_eq!(node.progress(1, checkpoint), Progress::Pending);
    let (number, _) = node.next_batch(1).unwrap();
    node.sent(1, number, true);
    assert_eq!(node.progress(1, checkpoint), Progress::Reached);

    node.left(1);
    assert!(!node.has_joined(1) && !node.is_compared(1));
    assert_eq!((node.checkpoint(1), node.progress(1, checkpoint)), (None, Progress::Lost));
}

/// Two nodes that hold the same names of the others, all with different counts. The second is connected to the first.
fn world_with_a_difference() -> World {
    let mut world = World::new();
    for (node, operations) in [(0, 1), (1, 2)] {
        let entries = (0..NAMES).map(|of| Entry::new(name(of), Count { value: 1, operations }));
        let entries: Vec<_> = entries.collect();
        let columns = vec![(id(2), entries.clone()), (id(3), entries)];
        world.nodes[node].merge(&Batch { from: id(2), columns });
    }
    world.nodes[1].joined(0, id(0));
    world
}

#[test]
fn what_a_peer_lacks_is_not_known_before_everything_that_differs_has_been_examined() {
    let mut world = world_with_a_difference();
    let (node, peer) = (1, 0);
    let comparison = world.nodes[node].next_comparison(0).unwrap();
    world.exchange(node, peer, comparison.clone());
    assert_eq!(world.nodes[node].next_comparison(0), None);
    assert_eq!((world.nodes[node].lag(0), world.nodes[node].is_compared(0)), (0, false));
    // Quiet replicas are not compared anew as long.
    assert_eq!(world.nodes[node].due_comparison(0, &comparison).roots, []);
    let mut asked = 0;
    while world.examine(node, peer, usize::from(asked % 2 == 1)) {
        assert!(world.nodes[node].checkpoint(0).is_none() || !world.examine(node, peer, 1));
        asked += 1;
    }
    assert!(asked > 1);
    assert_eq!(world.nodes[node].lag(0), 2 * usize::from(NAMES));
    assert!(world.nodes[node].checkpoint(0).is_some());
    assert_eq!(world.nodes[node].due_comparison(0, &comparison), comparison);
}

#[test]
fn an_examination_and_its_answer_are_bounded() {
    let node = Replication::new(id(0), KEY);
    let paths = vec![0; 10 * PARTS_AT_ONCE];
    let parts = Parts { salt: 0, level: 0, paths };
    assert_eq!(node.examine(Examination { from: id(1), replica: id(0), parts }).len(), PARTS_AT_ONCE);
}

#[test]
fn an_answer_that_comes_twice_does_not_count_for_the_next_question() {
    let mut world = world_with_a_difference();
    let comparison = world.nodes[1].next_comparison(0).unwrap();
    world.exchange(1, 0, comparison);
    let first = world.nodes[1].next_examination(0).unwrap();
    let salt = first.parts.salt;
    let answer = world.nodes[0].examine(first);
    world.nodes[1].examined(0, salt, Some(&answer));
    let second = world.nodes[1].next_examination(0).unwrap();
    assert_ne!(second.parts.salt, salt);
    world.nodes[1].examined(0, salt, Some(&answer));
    world.nodes[1].examined(0, salt, None);
    assert!(!world.nodes[1].is_compared(0), "the second one is still being asked");
}
