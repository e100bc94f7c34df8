use std::collections::BTreeMap;

use counter_protocol::{Count, CounterName};
use counter_store::ReplicaKey;
use proptest::prelude::*;

use super::*;
use crate::ledger::Source;
use crate::wire::{Batch, Entry};

#[derive(Clone, Debug)]
enum Step {
    /// Another replica has counted.
    Merge(u8, u8),
    /// A page, whose answer may be lost.
    Pull(bool),
    /// The end of a round: its answer may be lost, and it may fail.
    Finish {
        is_lost: bool,
        fails: bool,
    },
    Retry,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..20_u8).prop_map(|(replica, name)| Step::Merge(replica, name)),
        3 => any::<bool>().prop_map(Step::Pull),
        3 => any::<(bool, bool)>().prop_map(|(is_lost, fails)| Step::Finish { is_lost, fails }),
        1 => Just(Step::Retry),
        1 => Just(Step::Reset),
    ]
}

fn id(n: u8) -> ReplicaId {
    ReplicaId { node: format!("n{n}").parse().unwrap(), incarnation: 3 }
}

fn node() -> Replication {
    Replication::recovered(id(9), Ledger::new([1, 2])).unwrap()
}

fn merge(replication: &mut Replication, of: u8, name: u8, operations: u64) -> Vec<Entry> {
    let name = CounterName::new(&[name][..]).unwrap();
    let entry = Entry { of: name, value: -1, operations };
    replication.merge(&Batch { from: id(of), columns: vec![(id(of), vec![entry])] })
}

/// Entries and totals that a store has committed.
type Stored = (BTreeMap<(ReplicaKey, Vec<u8>), Count>, BTreeMap<ReplicaKey, u128>);

fn apply((entries, _): &mut Stored, page: &ColumnPage) {
    for (replica, column) in &page.columns {
        entries.extend(column.iter().map(|entry| ((replica.clone(), entry.name.to_vec()), entry.count)));
    }
}

proptest! {
    #[test]
    fn a_store_that_loses_answers_and_rounds_ends_with_the_ledger(steps in prop::collection::vec(step(), 0..120)) {
        let (mut node, mut position) = (node(), StorePosition::default());
        let (mut stored, mut round) = (Stored::default(), Vec::new());
        let mut operations = 0;
        let end = [Step::Retry, Step::Finish { is_lost: false, fails: false }];
        for step in steps.into_iter().chain(end) {
            match step {
                Step::Merge(of, name) => {
                    operations += 1;
                    merge(&mut node, of, name, operations);
                }
                Step::Pull(is_lost) => {
                    let page = node.pull_columns(position, 2);
                    if !is_lost {
                        position.arrived();
                        round.push(page);
                    }
                }
                Step::Finish { is_lost, fails } => {
                    if is_lost {
                        node.finish_columns(position);
                    }
                    let (page, ends) = node.finish_columns(position);
                    prop_assert_eq!(page.left, 0);
                    position.arrived();
                    round.push(page);
                    let round = std::mem::take(&mut round);
                    if fails {
                        position.retry();
                    } else {
                        position.confirm();
                        round.iter().for_each(|page| apply(&mut stored, page));
                        stored.1.extend(ends.into_iter().map(|(replica, totals)| (replica, totals.operations)));
                    }
                }
                Step::Retry => {
                    position.retry();
                    round.clear();
                }
                Step::Reset => {
                    position.reset();
                    round.clear();
                    stored = Stored::default();
                }
            }
        }
        let (all, next) = node.snapshot_columns(0, usize::MAX);
        let mut expected = Stored::default();
        apply(&mut expected, &all);
        prop_assert_eq!(next, None);
        prop_assert_eq!(&stored.0, &expected.0);
        for (replica, operations) in stored.1 {
            let entries = expected.0.iter().filter(|((of, _), _)| *of == replica);
            prop_assert_eq!(operations, entries.map(|(_, count)| u128::from(count.operations)).sum::<u128>());
        }
    }
}

#[test]
fn a_node_that_is_sent_more_than_it_has_committed_is_overtaken_and_corrects_nobody() {
    let mut node = node();
    let name = CounterName::from_static("a");
    node.counted([(name.clone(), Count { value: 5, operations: 5 })]);
    let claim = |operations, value| {
        let columns = vec![(id(9), vec![Entry { of: name.clone(), value, operations }])];
        Batch { from: id(1), columns }
    };
    for (operations, value, is_overtaken) in [(4, 4, false), (5, 5, false), (6, 6, true)] {
        assert_eq!(node.merge(&claim(operations, value)), []);
        assert_eq!(node.is_overtaken(), is_overtaken);
    }
    // Nobody but the node itself has changed what it counted.
    let mine = node.ledger().column(&id(9)).unwrap();
    assert_eq!(node.ledger().get(mine, &name), Count { value: 5, operations: 5 });
}

#[test]
fn a_fork_is_noted_and_all_keep_the_greater_value() {
    let name = CounterName::from_static("a");
    for values in [[3, 8], [8, 3]] {
        let mut ledger = Ledger::new([1, 2]);
        let column = ledger.add_column(&id(1), Source::Direct).unwrap();
        for value in values {
            ledger.merge(column, &name, Count { value, operations: 4 }, Source::Relayed);
        }
        assert_eq!(ledger.get(column, &name).value, 8);
        assert_eq!(ledger.forks().collect::<Vec<_>>(), [(&id(1), 1)]);
        ledger.merge(column, &name, Count { value: 8, operations: 4 }, Source::Relayed);
        assert_eq!(ledger.forks().map(|(_, forks)| forks).sum::<u64>(), 1);
    }
}
