use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use counter_protocol::{AggregatedStats, CounterName, CounterStats, Rate};

/// The registered counters and what each of them last said. `R` refers to a counter.
///
/// *Invariant:* `by_name` and `names` are each other's inverse, so a counter has one name and is counted once.
#[derive(Debug)]
pub struct Roster<R> {
    by_name: BTreeMap<CounterName, Entry<R>>,
    names: HashMap<R, CounterName>,
}

#[derive(Debug)]
struct Entry<R> {
    counter: R,
    stats: CounterStats,
    /// Whether it answered the last collection.
    answered: bool,
    /// When this counter answered last.
    heard_at: Option<Duration>,
    recent: Rate,
}

impl<R> Default for Roster<R> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), names: HashMap::new() }
    }
}

impl<R: Clone + Eq + Hash> Roster<R> {
    /// Puts a counter under a name, and returns the counter that it displaces there.
    ///
    /// The same again changes nothing. A counter that has another name moves. A counter that takes a name over
    /// inherits what was last known under it, until it answers for itself.
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
        let inherited = displaced.as_ref().map_or_else(CounterStats::default, |entry| entry.stats);
        let entry = moved.unwrap_or_else(|| Entry {
            counter,
            stats: inherited,
            answered: false,
            heard_at: None,
            recent: Rate::ZERO,
        });
        self.by_name.insert(name, entry);
        displaced.map(|entry| entry.counter)
    }

    /// Drops whatever has this name, and returns the counter.
    pub fn forget(&mut self, name: &CounterName) -> Option<R> {
        let entry = self.by_name.remove(name)?;
        self.names.remove(&entry.counter);
        Some(entry.counter)
    }

    /// A counter has stopped in order: it leaves, and its statistics with it.
    pub fn leave(&mut self, counter: &R) -> Option<CounterName> {
        let name = self.names.remove(counter)?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// A counter has died or not answered: what it last said stays.
    pub fn lose(&mut self, counter: &R) -> Option<&CounterName> {
        let (name, entry) = self.entry(counter)?;
        entry.answered = false;
        entry.recent = Rate::ZERO;
        Some(name)
    }

    /// A counter has answered a collection. One that is not registered (any more) is ignored.
    pub fn hear(&mut self, counter: &R, stats: CounterStats, now: Duration) {
        let Some((_, entry)) = self.entry(counter) else { return };
        let since_then = stats.total_operations.saturating_sub(entry.stats.total_operations);
        entry.recent =
            entry.heard_at.map_or(Rate::ZERO, |then| Rate::of(since_then, now.saturating_sub(then)));
        entry.stats = stats;
        entry.answered = true;
        entry.heard_at = Some(now);
    }

    /// All registered counters, in order of name.
    pub fn counters(&self) -> impl Iterator<Item = &R> {
        self.by_name.values().map(|entry| &entry.counter)
    }

    /// What each counter last said, in order of name.
    pub fn counter_stats(&self) -> impl Iterator<Item = (&CounterName, CounterStats)> {
        self.by_name.iter().map(|(name, entry)| (name, entry.stats))
    }

    /// The statistics of all registered counters together.
    #[must_use]
    pub fn totals(&self) -> AggregatedStats {
        let one = |(name, entry): (&CounterName, &Entry<R>)| {
            if entry.answered {
                AggregatedStats::of_answered(&entry.stats, entry.recent)
            } else {
                AggregatedStats::of_unanswered(name.clone(), &entry.stats)
            }
        };
        self.by_name.iter().map(one).collect()
    }

    fn entry(&mut self, counter: &R) -> Option<(&CounterName, &mut Entry<R>)> {
        let name = self.names.get(counter)?;
        self.by_name.get_mut(name).map(|entry| (name, entry))
    }
}

#[cfg(test)]
mod tests;
