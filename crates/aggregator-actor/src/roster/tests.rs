use proptest::prelude::*;

use super::*;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn said(current_value: i64, total_operations: u64) -> Report {
    Report::Counter(CounterStats { current_value, total_operations, ..CounterStats::default() })
}

fn name(text: impl ToString) -> CounterName {
    CounterName::new(text.to_string()).unwrap()
}

/// Returns (name, last reported value) of every counter, and the names of those that did not answer.
fn contents(roster: &Roster<u8>) -> (Vec<(CounterName, i64)>, Vec<CounterName>) {
    let values = roster.counter_stats().map(|(name, stats)| (name.clone(), stats.current_value));
    (values.collect(), roster.totals().unanswered.into_iter().collect())
}

#[test]
fn a_counter_registered_twice_is_counted_once() {
    let mut roster = Roster::default();
    assert_eq!(roster.register(name("a"), 1), None);
    roster.hear(&1, said(5, 1), seconds(1));
    assert_eq!(roster.register(name("a"), 1), None);
    assert_eq!(contents(&roster), (vec![(name("a"), 5)], vec![]));
}

#[test]
fn a_counter_registered_under_another_name_moves_with_what_it_said() {
    let mut roster = Roster::default();
    roster.register(name("a"), 1);
    roster.register(name("b"), 2);
    roster.hear(&1, said(5, 1), seconds(1));
    assert_eq!(roster.register(name("b"), 1), Some(2));
    assert_eq!(contents(&roster), (vec![(name("b"), 5)], vec![]));
    assert_eq!(roster.counters().collect::<Vec<_>>(), [&1]);
}

#[test]
fn a_successor_inherits_what_was_known_until_it_answers() {
    let mut roster = Roster::default();
    roster.register(name("a"), 1);
    roster.hear(&1, said(5, 9), seconds(1));
    assert_eq!(roster.register(name("a"), 2), Some(1));
    assert_eq!(contents(&roster), (vec![(name("a"), 5)], vec![name("a")]));

    roster.hear(&1, said(6, 10), seconds(2));
    assert_eq!(contents(&roster).0, [(name("a"), 5)], "the predecessor speaks for nobody");

    roster.hear(&2, said(0, 0), seconds(2));
    assert_eq!(contents(&roster), (vec![(name("a"), 0)], vec![]));
    assert_eq!(roster.totals().recent_operations_per_second, Rate::ZERO);
}

#[test]
fn one_that_leaves_is_gone_and_one_that_is_lost_is_named() {
    let mut roster = Roster::default();
    for (text, counter) in [("a", 1), ("b", 2)] {
        roster.register(name(text), counter);
        roster.hear(&counter, said(5, 1), seconds(1));
    }
    assert_eq!(roster.leave(&1), Some(name("a")));
    assert_eq!(roster.lose(&2), Some(&name("b")));
    assert_eq!(contents(&roster), (vec![(name("b"), 5)], vec![name("b")]));
    assert_eq!(roster.leave(&1), None);
    assert_eq!(roster.forget(&name("b")), Some(2));
    assert_eq!(roster.totals(), AggregatedStats::default());
}

#[test]
fn the_recent_rate_is_between_two_answers() {
    let mut roster = Roster::default();
    roster.register(name("a"), 1);
    roster.hear(&1, said(0, 100), seconds(10));
    assert_eq!(roster.totals().recent_operations_per_second, Rate::ZERO, "nothing to compare with yet");
    roster.hear(&1, said(0, 160), seconds(13));
    assert_eq!(roster.totals().recent_operations_per_second, Rate::from(20.0));
    roster.lose(&1);
    assert_eq!(roster.totals().recent_operations_per_second, Rate::ZERO);
    roster.hear(&1, said(0, 180), seconds(17));
    assert_eq!(roster.totals().recent_operations_per_second, Rate::from(5.0), "over the gap as well");
}

#[test]
fn a_group_counts_for_all_that_it_speaks_for() {
    let mut roster = Roster::default();
    let group = |value, operations| {
        Report::Group(AggregatedStats {
            total_value: value,
            total_operations: operations,
            num_counters: 1_000,
            unanswered: [name("inner")].into(),
            ..AggregatedStats::default()
        })
    };
    roster.register(name("group"), 1);
    roster.register(name("counter"), 2);
    roster.hear(&1, group(1 << 70, 100), seconds(1));
    roster.hear(&2, said(1, 1), seconds(1));
    roster.hear(&1, group(1 << 70, 150), seconds(6));
    roster.lose(&2);
    let totals = roster.totals();
    assert_eq!(
        (totals.total_value, totals.total_operations, totals.num_counters),
        ((1 << 70) + 1, 151, 1_001)
    );
    assert_eq!(totals.recent_operations_per_second, Rate::from(10.0));
    assert_eq!(totals.unanswered, ["inner", "counter"].map(name).into());
    assert_eq!(roster.counter_stats().count(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u8),
    Forget(u8),
    Leave(u8),
    Lose(u8),
    Hear(u8, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let (name, counter) = (0..4_u8, 0..4_u8);
    prop_oneof![
        3 => (name.clone(), counter.clone()).prop_map(|(name, counter)| Step::Register(name, counter)),
        1 => name.prop_map(Step::Forget),
        1 => counter.clone().prop_map(Step::Leave),
        1 => counter.clone().prop_map(Step::Lose),
        3 => (counter, any::<i64>()).prop_map(|(counter, value)| Step::Hear(counter, value)),
    ]
}

/// List of (name, counter, value, answered), searched from end to end.
#[derive(Default)]
struct Model(Vec<(u8, u8, i64, bool)>);

impl Model {
    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Register(name, counter) => {
                if self.0.iter().any(|e| e.0 == name && e.1 == counter) {
                    return;
                }
                let inherited = self.0.iter().find(|e| e.0 == name).map_or(0, |e| e.2);
                let moved = self.0.iter().find(|e| e.1 == counter).copied();
                self.0.retain(|e| e.0 != name && e.1 != counter);
                let (value, answered) = moved.map_or((inherited, false), |e| (e.2, e.3));
                self.0.push((name, counter, value, answered));
            }
            Step::Forget(name) => self.0.retain(|e| e.0 != name),
            Step::Leave(counter) => self.0.retain(|e| e.1 != counter),
            Step::Lose(counter) => self.0.iter_mut().filter(|e| e.1 == counter).for_each(|e| e.3 = false),
            Step::Hear(counter, value) => {
                self.0.iter_mut().filter(|e| e.1 == counter).for_each(|e| (e.2, e.3) = (value, true));
            }
        }
        self.0.sort_unstable();
    }
}

proptest! {
    #[test]
    fn it_agrees_with_a_list(steps in prop::collection::vec(step(), 0..40)) {
        let (mut roster, mut model) = (Roster::default(), Model::default());
        for step in &steps {
            model.apply(step);
            match *step {
                Step::Register(n, counter) => drop(roster.register(name(n), counter)),
                Step::Forget(n) => drop(roster.forget(&name(n))),
                Step::Leave(counter) => drop(roster.leave(&counter)),
                Step::Lose(counter) => drop(roster.lose(&counter).cloned()),
                Step::Hear(counter, value) => roster.hear(&counter, said(value, 0), seconds(0)),
            }
            let (values, unanswered) = contents(&roster);
            let expected: Vec<_> = model.0.iter().map(|e| (name(e.0), e.2)).collect();
            prop_assert_eq!(values, expected);
            let expected: Vec<_> = model.0.iter().filter(|e| !e.3).map(|e| name(e.0)).collect();
            prop_assert_eq!(unanswered, expected);
            let counters: Vec<_> = model.0.iter().map(|e| e.1).collect();
            prop_assert_eq!(roster.counters().copied().collect::<Vec<_>>(), counters);
        }
    }
}
