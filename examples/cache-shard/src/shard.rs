use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use tokio::time::Instant;

/// Key of an entry.
pub type Key = Arc<str>;
/// Value of an entry.
pub type Value = Arc<[u8]>;
/// Value, and the time from which it is expired.
pub(crate) type Entry = (Value, Instant);

/// Entries of a shard. Pure.
///
/// An expired entry keeps its place until a lookup finds it or an insertion needs the place, so nothing here ever
/// goes through all entries.
#[derive(Debug)]
pub(crate) struct Shard {
    entries: LruCache<Key, Entry>,
    /// All counts but the number of entries.
    counts: Stats,
}

/// Counts of lookups and entries by outcome. Counts of several shards can be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, derive_more::Add, derive_more::Sum)]
pub struct Stats {
    /// Lookups that found an entry.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Entries that were evicted before they expired.
    pub evicted: u64,
    /// Entries that were found to be expired.
    pub expired: u64,
    /// Number of entries, including those that are expired and not found to be so yet.
    pub entries: usize,
}

impl Shard {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self { entries: LruCache::new(capacity), counts: Stats::default() }
    }

    /// Inserts an entry. If there is no room, evicts the one that was not used for longest.
    pub(crate) fn insert(&mut self, key: Key, entry: Entry, now: Instant) {
        let replaces = self.entries.contains(&key);
        if let Some((_, (_, expires_at))) = self.entries.push(key, entry) {
            self.counts.expired += u64::from(expires_at <= now);
            self.counts.evicted += u64::from(now < expires_at && !replaces);
        }
    }

    /// Returns the value of a key, and makes its entry the one used last.
    pub(crate) fn get(&mut self, key: &Key, now: Instant) -> Option<Value> {
        let found = match self.entries.get(key) {
            Some((value, expires_at)) if now < *expires_at => Some(Arc::clone(value)),
            Some(_) | None => self.remove(key, now),
        };
        self.counts.hits += u64::from(found.is_some());
        self.counts.misses += u64::from(found.is_none());
        found
    }

    pub(crate) fn remove(&mut self, key: &Key, now: Instant) -> Option<Value> {
        let (value, expires_at) = self.entries.pop(key)?;
        self.counts.expired += u64::from(expires_at <= now);
        (now < expires_at).then_some(value)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { entries: self.entries.len(), ..self.counts }
    }
}

impl Stats {
    /// Returns the number of hits per hundred lookups.
    pub fn hit_rate_percent(&self) -> f64 {
        100.0 * self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }
}

#[cfg(test)]
mod tests;
