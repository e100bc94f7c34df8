//! Feeds against a model: replicas that apply what is handed out equal the table.

use std::collections::BTreeMap;

use counter_protocol::{Count, Delta};
use proptest::prelude::*;

use super::*;
use crate::follower::{FeedId, FeedOwner, Position};
use crate::key::with_hash;
use crate::round::{EntryPage, RoundPage, ShardTotals};
use crate::sessions::Sessions;

const FEEDS: usize = 2;
const NAMES: u8 = 30;

type Counters = BTreeMap<Vec<u8>, (Count, Option<u64>)>;

fn key(name: &u8) -> Key<'_> {
    // Few segments, so that removals move other counters.
    with_hash(u64::from(name % 3) << 30 | u64::from(*name) << 57, std::slice::from_ref(name))
}

fn apply(page: &EntryPage, counters: &mut Counters) {
    counters.extend(page.iter().map(|entry| (entry.name.to_vec(), (entry.count, entry.deadline_ms))));
}

fn apply_round(page: &RoundPage, counters: &mut Counters) {
    if page.reset {
        counters.clear();
    }
    for name in page.end.iter().flat_map(|end| &end.removed) {
        counters.remove(&name[..]);
    }
    apply(&page.changed, counters);
}

fn everything(table: &Table) -> Counters {
    let mut page = EntryPage::default();
    table.walk(TablePosition::default(), usize::MAX, |place, _, _| {
        page.extend(table.entry(place));
        true
    });
    let mut counters = Counters::new();
    apply(&page, &mut counters);
    counters
}

/// Totals of counters, without rejections.
fn totals(counters: &Counters) -> ShardTotals {
    ShardTotals {
        names: counters.len() as u64,
        value: counters.values().map(|(count, _)| i128::from(count.value)).sum(),
        operations: counters.values().map(|(count, _)| u128::from(count.operations)).sum(),
        deadlines: counters.values().filter(|(_, deadline_ms)| deadline_ms.is_some()).count() as u64,
        ..ShardTotals::default()
    }
}

/// Reader of a feed.
struct Reader {
    _owner: FeedOwner,
    id: FeedId,
    position: Position,
    /// Applies each page at once.
    eager: Counters,
    /// Applies rounds when they are complete.
    confirmed: Counters,
    round: Vec<RoundPage>,
    snapshot: Option<Snapshot>,
    /// Names that some delivery has mentioned and no later one has removed.
    heard_of: Counters,
}

/// Pages of a snapshot, with the rounds since its first page.
struct Snapshot {
    counters: Counters,
    next: Option<TablePosition>,
    rounds: Vec<RoundPage>,
    begun_with_next_round: bool,
}

impl Reader {
    fn new() -> Self {
        let owner = FeedOwner::default();
        Self {
            id: owner.id(),
            _owner: owner,
            position: Position::default(),
            eager: Counters::new(),
            confirmed: Counters::new(),
            round: Vec::new(),
            snapshot: None,
            heard_of: Counters::new(),
        }
    }

    fn receive(&mut self, page: RoundPage) {
        self.position.pages += 1;
        for name in page.end.iter().flat_map(|end| &end.removed) {
            assert!(self.heard_of.contains_key(&name[..]), "a tombstone of a name it has not heard of");
        }
        apply_round(&page, &mut self.eager);
        self.round.push(page);
    }

    /// A page that was made but does not arrive.
    fn lose(&mut self, page: &RoundPage) {
        apply(&page.changed, &mut self.heard_of);
    }

    fn pull(&mut self, table: &mut Table, most: usize, is_lost: bool) {
        let page = table.take_page(&self.id, self.position, most);
        assert!(page.changed.len() <= most);
        self.lose(&page);
        if !is_lost {
            self.receive(page);
        }
    }

    fn finish(&mut self, table: &mut Table, is_lost: bool) {
        self.finish_within(table, usize::MAX, is_lost);
    }

    fn finish_within(&mut self, table: &mut Table, most: usize, is_lost: bool) {
        let page = table.finish_round(&self.id, self.position, most, &Sessions::default());
        assert!(page.changed.len() <= most);
        assert_eq!(page.end.is_none(), page.left > 0);
        self.lose(&page);
        if is_lost {
            return;
        }
        if page.end.is_none() {
            return self.receive(page);
        }
        let totals = page.end.as_ref().map(|end| end.totals).unwrap();
        self.receive(page);
        assert_eq!(totals, ShardTotals { rejected_operations: totals.rejected_operations, ..table.totals() });
        for page in &self.round {
            apply_round(page, &mut self.confirmed);
        }
        assert_eq!(self.confirmed, everything(table));
        assert_eq!(self.eager, self.confirmed);
        self.confirm();
    }

    fn confirm(&mut self) {
        let round = mem::take(&mut self.round);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.rounds.extend(round);
            if snapshot.next.is_none() {
                if snapshot.begun_with_next_round {
                    let mut counters = snapshot.counters.clone();
                    for page in &snapshot.rounds {
                        apply_round(page, &mut counters);
                    }
                    assert_eq!(counters, self.confirmed, "a snapshot with its log");
                    self.snapshot = None;
                } else {
                    snapshot.begun_with_next_round = true;
                }
            }
        }
        self.position = Position { round: self.position.round + 1, pages: 0, confirmed: self.position.round };
    }

    fn retry(&mut self) {
        // What was received stays received: it is cumulative.
        for page in mem::take(&mut self.round) {
            apply_round(&page, &mut self.confirmed);
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.rounds.push(page);
            }
        }
        self.position = Position { round: self.position.round + 1, pages: 0, ..self.position };
    }

    fn snapshot(&mut self, table: &mut Table, most: usize) {
        let snapshot = self.snapshot.get_or_insert_with(|| Snapshot {
            counters: Counters::new(),
            next: Some(TablePosition::default()),
            rounds: Vec::new(),
            begun_with_next_round: false,
        });
        if let Some(from) = snapshot.next {
            let (page, next) = table.snapshot_page(&self.id, self.position, from, most);
            assert!(page.iter().all(|entry| self.heard_of.contains_key(entry.name)));
            apply(&page, &mut snapshot.counters);
            snapshot.next = next;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply(u8, i64),
    Put(u8, i64, Option<u64>),
    Remove(u8),
    Pull(usize, usize, bool),
    Finish(usize, usize, bool),
    Retry(usize),
    Snapshot(usize, usize),
    Restart(usize),
    /// Creates and removes many names.
    Churn,
}

fn step() -> impl Strategy<Value = Step> {
    let feed = || 0..FEEDS;
    prop_oneof![
        9 => (0..NAMES, -9..=9_i64).prop_map(|(name, amount)| Step::Apply(name, amount)),
        2 => (0..NAMES, -9..=9_i64, prop::option::of(1..9_u64)).prop_map(|(name, value, at)| Step::Put(name, value, at)),
        6 => (0..NAMES).prop_map(Step::Remove),
        5 => (feed(), 1..5_usize, any::<bool>()).prop_map(|(feed, most, lost)| Step::Pull(feed, most, lost)),
        4 => (feed(), prop_oneof![1..5_usize, Just(usize::MAX)], any::<bool>())
            .prop_map(|(feed, most, lost)| Step::Finish(feed, most, lost)),
        1 => feed().prop_map(Step::Retry),
        5 => (feed(), 1..6_usize).prop_map(|(feed, most)| Step::Snapshot(feed, most)),
        1 => feed().prop_map(Step::Restart),
        1 => Just(Step::Churn),
    ]
}

/// Creates names, lets all feeds hear of them, and removes them.
fn churn(table: &mut Table, readers: &mut [Reader]) {
    let names: Vec<_> = (0..1_100_u32).map(u32::to_le_bytes).collect();
    let key = |n: usize| with_hash((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), &names[n]);
    (0..names.len()).for_each(|n| table.apply(key(n), Delta::from(1)));
    readers.iter_mut().for_each(|reader| reader.pull(table, usize::MAX, false));
    (0..names.len()).for_each(|n| _ = table.remove(key(n)));
}

proptest! {
    #[test]
    fn replicas_of_all_feeds_equal_the_table_whatever_is_lost_or_repeated(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let (mut table, mut readers) = (Table::default(), [Reader::new(), Reader::new()]);
        for step in steps {
            match step {
                Step::Apply(name, amount) => table.apply(key(&name), Delta::from(i128::from(amount))),
                Step::Put(name, value, deadline_ms) => {
                    table.put(key(&name), Count { value, operations: 1 }, deadline_ms);
                }
                Step::Remove(name) => _ = table.remove(key(&name)),
                Step::Pull(feed, most, is_lost) => readers[feed].pull(&mut table, most, is_lost),
                Step::Finish(feed, most, is_lost) => readers[feed].finish_within(&mut table, most, is_lost),
                Step::Retry(feed) => readers[feed].retry(),
                Step::Snapshot(feed, most) => readers[feed].snapshot(&mut table, most),
                Step::Restart(feed) => {
                    readers[feed] = Reader::new();
                    table.remove_ended_feeds();
                    prop_assert!(table.followers.len() < FEEDS);
                }
                Step::Churn => churn(&mut table, &mut readers),
            }
        }
        for reader in &mut readers {
            reader.finish(&mut table, false);
            while reader.snapshot.as_ref().is_some_and(|snapshot| snapshot.next.is_some()) {
                reader.snapshot(&mut table, 5);
            }
            reader.finish(&mut table, false);
            reader.finish(&mut table, false);
            prop_assert!(reader.snapshot.is_none());
            let last = table.finish_round(&reader.id, reader.position, usize::MAX, &Sessions::default());
            prop_assert!(!last.reset && last.changed.is_empty() && last.end.unwrap().removed.is_empty());
        }
        let counters = everything(&table);
        prop_assert_eq!(totals(&counters), ShardTotals { rejected_operations: 0, ..table.totals() });
    }
}

#[test]
fn a_name_that_comes_and_goes_between_two_rounds_leaves_no_tombstone() {
    let (mut table, mut reader) = (Table::default(), Reader::new());
    reader.finish(&mut table, false);
    table.apply(key(&1), Delta::from(1));
    table.remove(key(&1));
    let page = table.finish_round(&reader.id, reader.position, usize::MAX, &Sessions::default());
    assert!(page.changed.is_empty() && page.end.unwrap().removed.is_empty());
}

#[test]
fn a_feed_with_more_removals_than_counters_begins_anew() {
    let (mut table, mut reader) = (Table::default(), Reader::new());
    reader.finish(&mut table, false);
    churn(&mut table, std::slice::from_mut(&mut reader));
    table.apply(key(&1), Delta::from(1));
    let page = table.take_page(&reader.id, reader.position, 9);
    assert!(page.reset && page.changed.len() == 1);
    reader.receive(page);
    reader.finish(&mut table, false);
}

#[test]
fn a_feed_that_is_up_to_date_begins_with_what_has_changed_since() {
    let mut table = Table::default();
    (0..9).for_each(|name| table.apply(key(&name), Delta::from(1)));
    let reader = Reader::new();
    table.follow_up_to_date(reader.id.clone());
    table.remove(key(&3));
    table.apply(key(&4), Delta::from(1));
    let page = table.finish_round(&reader.id, reader.position, usize::MAX, &Sessions::default());
    assert!(!page.reset);
    assert_eq!(page.changed.iter().map(|entry| entry.name).collect::<Vec<_>>(), [[4]]);
    assert_eq!(page.end.unwrap().removed, [[3].into()]);
}
