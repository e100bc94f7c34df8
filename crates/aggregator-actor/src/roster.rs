use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use counter_protocol::{AggregatedStats, CounterName, CounterStats, Rate};

use crate::member::Report;

/// Registered members and the last report of each. A member is a counter, or speaks for many; `R` refers to one.
///
/// *Invariant:* `by_name` and `names` are each other's inverse, so a member has one name and is counted once.
#[derive(Debug)]
pub struct Roster<R> {
    by_name: BTreeMap<CounterName, Entry<R>>,
    names: HashMap<R, CounterName>,
}

#[derive(Debug)]
struct Entry<R> {
    counter: R,
    report: Report,
    /// True if the counter answered the last collection.
    answered: bool,
    /// Time of the counter's last answer.
    heard_at: Option<Duration>,
    recent: Rate,
}

impl<R> Default for Roster<R> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), names: HashMap::new() }
    }
}

impl<R: Clone + Eq + Hash> Roster<R> {
    /// Registers a counter under a name, and returns the counter that had the name before.
    ///
    /// Registering the same counter again changes nothing. A counter that has another name moves. A counter that
    /// takes over a name inherits the last report under it, until it answers itself.
    pub fn register(&mut self, name: CounterName, counter: R) -> Option<R> {
        let moved = match self.names.insert(counter.clone(), name.clone()) {
            Some(old) if old == name => return None,
            Some(old) => self.by_name.remove(&old),
            None => None,
        };
        let displaced = self.by_name.remove(&name);
        if let Some(displaced) = &displaced {
            self.names.remove(&displaced.counter);
        }
        let nothing = || Report::Counter(CounterStats::default());
        let inherited = displaced.as_ref().map_or_else(nothing, |entry| entry.report.clone());
        let entry = moved.unwrap_or_else(|| Entry {
            counter,
            report: inherited,
            answered: false,
            heard_at: None,
            recent: Rate::ZERO,
        });
        self.by_name.insert(name, entry);
        displaced.map(|entry| entry.counter)
    }

    /// Removes and returns the counter of this name.
    pub fn forget(&mut self, name: &CounterName) -> Option<R> {
        let entry = self.by_name.remove(name)?;
        self.names.remove(&entry.counter);
        Some(entry.counter)
    }

    /// Removes a counter that has stopped in order, with its statistics.
    pub fn leave(&mut self, counter: &R) -> Option<CounterName> {
        let name = self.names.remove(counter)?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// Marks a counter as unanswered because it has died or did not answer in time. Its last report stays.
    pub fn lose(&mut self, counter: &R) -> Option<&CounterName> {
        let (name, entry) = self.entry(counter)?;
        entry.answered = false;
        entry.recent = Rate::ZERO;
        Some(name)
    }

    /// Records a counter's answer to a collection. An answer of a counter that is not registered (any more) is
    /// ignored.
    pub fn hear(&mut self, counter: &R, report: Report, now: Duration) {
        let Some((_, entry)) = self.entry(counter) else { return };
        let since_then = operations(&report).saturating_sub(operations(&entry.report));
        let since_then = u64::try_from(since_then).unwrap_or(u64::MAX);
        entry.recent =
            entry.heard_at.map_or(Rate::ZERO, |then| Rate::of(since_then, now.saturating_sub(then)));
        entry.report = report;
        entry.answered = true;
        entry.heard_at = Some(now);
    }

    /// Returns all registered counters, in order of name.
    pub fn counters(&self) -> impl Iterator<Item = &R> {
        self.by_name.values().map(|entry| &entry.counter)
    }

    /// Returns the last report of each single counter, in order of name.
    pub fn counter_stats(&self) -> impl Iterator<Item = (&CounterName, CounterStats)> {
        self.by_name.iter().filter_map(|(name, entry)| match entry.report {
            Report::Counter(stats) => Some((name, stats)),
            Report::Group(_) => None,
        })
    }

    /// Returns the statistics of all registered members together.
    #[must_use]
    pub fn totals(&self) -> AggregatedStats {
        let one = |(name, entry): (&CounterName, &Entry<R>)| {
            let mut totals = match &entry.report {
                Report::Counter(stats) => AggregatedStats::of_counter(stats),
                Report::Group(stats) => stats.clone(),
            };
            totals.recent_operations_per_second = entry.recent;
            if !entry.answered {
                totals.unanswered.insert(name.clone());
            }
            totals
        };
        self.by_name.iter().map(one).collect()
    }

    fn entry(&mut self, counter: &R) -> Option<(&CounterName, &mut Entry<R>)> {
        let name = self.names.get(counter)?;
        self.by_name.get_mut(name).map(|entry| (name, entry))
    }
}

const fn operations(report: &Report) -> u128 {
    match report {
        Report::Counter(stats) => stats.total_operations as u128,
        Report::Group(stats) => stats.total_operations,
    }
}

#[cfg(test)]
mod tests;
