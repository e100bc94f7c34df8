use std::collections::BTreeMap;
use std::sync::Arc;

use counter_store::{ColumnSink, ReplicaKey};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cut::Cut;
use crate::record::PartitionId;
use crate::stored::RecoveringTables;

const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// All that a table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    offset: u64,
    tallies: Tallies,
    total: Total,
    names: BTreeMap<Vec<u8>, Total>,
    producers: BTreeMap<ProducerId, Producer>,
}

fn contents(table: &PartitionTable) -> Contents {
    Contents {
        offset: table.position().offset,
        tallies: table.tallies(),
        total: table.total(),
        names: table.iter().map(|(name, total)| (name.to_vec(), total)).collect(),
        producers: table.producers().collect(),
    }
}

/// Counts record by record, and never forgets a producer.
#[derive(Default)]
struct Naive {
    contents: Contents,
    sequences: BTreeMap<ProducerId, u64>,
}

impl Naive {
    fn count(&mut self, record: &Record<'_>) {
        self.contents.offset = record.offset + 1;
        let tallies = &mut self.contents.tallies;
        let Content::Count { name, amount, operations, stamp } = &record.content else {
            tallies.skipped += 1;
            return;
        };
        if let Some(Stamp { producer, sequence, base }) = *stamp {
            if base > record.offset || record.offset - base > PRODUCER_WINDOW {
                tallies.refused += 1;
                return;
            }
            if self.sequences.get(&producer).is_some_and(|last| *last >= sequence) {
                tallies.duplicates += 1;
                return;
            }
            self.sequences.insert(producer, sequence);
        }
        tallies.counted += 1;
        let counted = Total { value: (*amount).into(), operations: (*operations).into() };
        let sum = self.contents.names.entry(name.to_vec()).or_default();
        *sum = sum.merge(counted);
        self.contents.total = self.contents.total.merge(counted);
    }
}

/// Records whose offsets have gaps, of producers that repeat some of them, sooner or later.
fn log() -> impl Strategy<Value = Vec<Record<'static>>> {
    let gap = prop_oneof![8 => 0..3_u64, 1 => 0..PRODUCER_WINDOW, 1 => Just(PRODUCER_RETENTION)];
    let amount = prop_oneof![4 => -3..4_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let back = prop_oneof![8 => 0..4_u64, 1 => 0..2 * PRODUCER_WINDOW];
    let repeated = proptest::option::of(any::<prop::sample::Index>());
    let stamp = proptest::option::of((0..4_u8, repeated, back));
    let record = (gap, 0..6_u8, amount, 0..3_u64, stamp);
    vec(record, 0..60).prop_map(|records| {
        let (mut next, mut sent) = (0, Vec::<Stamp>::new());
        let mut stamped =
            |offset: u64, (producer, repeated, back): (u8, Option<prop::sample::Index>, u64)| {
                let producer = [producer; 16];
                let earlier: Vec<_> =
                    sent.iter().filter(|stamp| stamp.producer == producer).copied().collect();
                if let Some(index) = repeated.filter(|_| !earlier.is_empty()) {
                    return *index.get(&earlier);
                }
                let (sequence, base) = (earlier.len() as u64, offset.saturating_sub(back));
                sent.push(Stamp { producer, sequence, base });
                Stamp { producer, sequence, base }
            };
        let record = |(gap, name, amount, operations, stamp): (u64, u8, i64, u64, Option<_>)| {
            let offset = next + gap;
            next = offset + 1;
            let stamp = stamp.map(|stamp| stamped(offset, stamp));
            let name = vec![name; usize::from(name) * 5].into();
            let content = if amount == 3 {
                Content::Skipped
            } else {
                Content::Count { name, amount, operations, stamp }
            };
            Record { offset, leader_epoch: Some(u32::try_from(offset / 1000).unwrap()), content }
        };
        records.into_iter().map(record).collect()
    })
}

/// Something that happens to one of the members of a group.
#[derive(Clone, Debug)]
enum Event {
    /// It is assigned the partition, and reads it from where it stands.
    Assign,
    /// It reads some records from where it was, whoever the owner is by now.
    Read(usize),
    /// It hands a cut to its store, in place of one that the store has failed to commit.
    Take,
    /// Its store has committed the latest cut.
    Commit,
    /// It is killed, and starts with what its store has.
    Restart,
    /// It sends a cut that begins where some record is.
    Send { from: usize },
    /// It sends its latest cut for its own store.
    SendOwn,
    /// A cut that was sent arrives, for the first time or again.
    Receive(usize),
}

fn events() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        2 => Just(Event::Assign),
        5 => (1..6_usize).prop_map(Event::Read),
        3 => Just(Event::Take),
        3 => Just(Event::Commit),
        1 => Just(Event::Restart),
        3 => (0..60_usize).prop_map(|from| Event::Send { from }),
        2 => Just(Event::SendOwn),
        6 => any::<prop::sample::Index>().prop_map(|index| Event::Receive(index.index(1 << 16))),
    ];
    vec((0..MEMBERS, event), 0..120)
}

const MEMBERS: usize = 3;

struct Member {
    table: PartitionTable,
    /// Index of the next record that it reads.
    reads: usize,
    store: RecoveringTables,
    /// Cut that the store has yet to commit.
    taken: Option<OwnCut>,
}

fn column() -> ReplicaKey {
    ReplicaKey::from(&PartitionId { cluster: "c/d".into(), topic: [7; 16], partition: 3, mapping: 9 })
}

impl Member {
    fn new() -> Self {
        let store = RecoveringTables::new(SEEDS);
        Self { table: PartitionTable::new(SEEDS), reads: 0, store, taken: None }
    }

    fn assign(&mut self, log: &[Record<'_>]) {
        self.reads = log.partition_point(|record| record.offset < self.table.position().offset);
    }

    fn commit(&mut self) {
        let Some(own) = self.taken.take() else { return };
        for entry in own.page().iter() {
            assert!(self.store.set(&column(), entry.name, entry.count));
        }
        assert_eq!(self.store.totals(&column()), own.column_totals());
        self.table.confirm(own.cut.to.offset, own.cut.digest);
    }

    /// Recovers from a snapshot and the store's entries behind it.
    fn restart(&mut self) {
        self.taken = None;
        let store = std::mem::replace(&mut self.store, RecoveringTables::new(SEEDS));
        let recovered = store.finish().into_values().next();
        self.table = recovered.unwrap_or_else(|| PartitionTable::new(SEEDS));
        let mut from = Some(0);
        while let Some(index) = from {
            let (page, next) = self.table.page(index, 2);
            for entry in page.iter() {
                assert!(self.store.set(&column(), entry.name, entry.count));
            }
            from = next;
        }
    }
}

proptest! {
    #[test]
    fn it_agrees_with_maps_that_forget_nothing(log in log()) {
        let (mut table, mut naive) = (PartitionTable::new(SEEDS), Naive::default());
        for record in log {
            naive.count(&record);
            prop_assert!(table.count(record.clone()).unwrap());
            prop_assert!(!table.count(record).unwrap());
        }
        let mut known = contents(&table);
        for (id, producer) in std::mem::take(&mut known.producers) {
            prop_assert_eq!(naive.sequences[&id], producer.sequence);
        }
        prop_assert_eq!(known, naive.contents);
    }

    #[test]
    fn owners_zombies_and_cuts_in_any_order_equal_one_pass(log in log(), events in events()) {
        let mut members: Vec<_> = (0..MEMBERS).map(|_| Member::new()).collect();
        let mut sent = Vec::<Arc<Cut>>::new();
        for (index, event) in events {
            let member = &mut members[index];
            match event {
                Event::Assign => member.assign(&log),
                Event::Read(records) => {
                    for record in log.iter().skip(member.reads).take(records) {
                        member.table.count(record.clone()).unwrap();
                        member.reads += 1;
                    }
                }
                Event::Take => member.taken = member.table.take(),
                Event::Commit => member.commit(),
                Event::Restart => {
                    member.restart();
                    member.assign(&log);
                }
                Event::Send { from } => {
                    let from = log.get(from).map_or(0, |record| record.offset);
                    sent.push(Arc::new(member.table.cut_from(from)));
                }
                Event::SendOwn => sent.extend(member.table.take().map(|own| own.cut)),
                Event::Receive(cut) if !sent.is_empty() => {
                    let cut = &sent[cut % sent.len()];
                    let before = member.table.position().offset;
                    let fits = cut.from <= before && before < cut.to.offset;
                    let expected = if fits { Applied::Whole } else { Applied::Ignored };
                    prop_assert_eq!(member.table.apply(cut).unwrap(), expected);
                }
                Event::Receive(_) => {}
            }
            let member = &mut members[index];
            let mut pass = PartitionTable::new(SEEDS);
            let end = member.table.position().offset;
            for record in log.iter().take_while(|record| record.offset < end) {
                pass.count(record.clone()).unwrap();
            }
            prop_assert_eq!(contents(&member.table), contents(&pass));
            prop_assert_eq!(member.table.digest(), pass.digest());
        }
    }
}

fn record(offset: u64, name: &str) -> Record<'_> {
    let content = Content::Count { name: name.as_bytes().into(), amount: 1, operations: 1, stamp: None };
    Record { offset, leader_epoch: Some(1), content }
}

fn table(names: &[&str]) -> PartitionTable {
    let mut table = PartitionTable::new(SEEDS);
    for (offset, name) in (0..).zip(names) {
        table.count(record(offset, name)).unwrap();
    }
    table
}

#[test]
fn a_cut_of_another_history_is_refused_as_a_whole() {
    let mut ours = table(&["a", "b"]);
    let before = contents(&ours);
    // It ends where the table stands, begins there, or reaches over it.
    let mut theirs = table(&["a", "a"]);
    assert_eq!(ours.apply(&theirs.cut_from(0)), Err(Fork::Counts { offset: 2 }));
    let own = theirs.take().unwrap();
    theirs.confirm(own.cut.to.offset, own.cut.digest);
    theirs.count(record(2, "c")).unwrap();
    assert_eq!(ours.apply(&theirs.take().unwrap().cut), Err(Fork::Counts { offset: 2 }));
    assert_eq!(ours.apply(&theirs.cut_from(1)), Err(Fork::Counts { offset: 3 }));
    assert_eq!(contents(&ours), before);
    assert_eq!(ours.digest(), table(&["a", "b"]).digest());
}

#[test]
fn an_earlier_leader_epoch_behind_a_later_one_is_a_fork() {
    let mut table = table(&["a"]);
    let stale = Record { leader_epoch: Some(0), ..record(1, "a") };
    assert_eq!(table.count(stale), Err(Fork::Epoch { offset: 1, known: 1, found: 0 }));
    // A source that knows no epochs can go on.
    assert_eq!(table.count(Record { leader_epoch: None, ..record(1, "a") }), Ok(true));
    assert_eq!(table.position(), Position { offset: 2, leader_epoch: Some(1) });
}

#[test]
fn a_name_that_is_too_long_is_skipped() {
    let mut table = PartitionTable::new(SEEDS);
    table.count(record(0, &"n".repeat(counter_protocol::CounterName::MAX_BYTES + 1))).unwrap();
    assert_eq!((table.names(), table.tallies().skipped, table.position().offset), (0, 1, 1));
}

#[test]
fn what_has_not_changed_is_not_in_the_next_cut() {
    let mut table = table(&["a", "b"]);
    let own = table.take().unwrap();
    assert_eq!(own.cut.changes.len(), 2);
    // Until it is confirmed, it is handed out again, with what has changed meanwhile.
    table.count(record(2, "b")).unwrap();
    assert_eq!(table.take().unwrap().cut.changes.len(), 2);
    table.confirm(own.cut.to.offset, own.cut.digest);
    let own = table.take().unwrap();
    assert_eq!((own.cut.from, own.cut.changes.len()), (2, 1));
    table.confirm(own.cut.to.offset, own.cut.digest);
    assert!(table.take().is_none());
    table.unconfirm();
    assert_eq!(table.take().unwrap().cut.changes.len(), 2);
}
