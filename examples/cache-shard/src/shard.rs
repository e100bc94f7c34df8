use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use tokio::time::Instant;

/// What a value is found by.
pub type Key = Arc<str>;
/// What is found.
pub type Value = Arc<[u8]>;
/// A value, and from when on nobody finds it any more.
pub(crate) type Entry = (Value, Instant);

/// What a shard knows. Pure.
///
/// An entry whose time is over keeps its place until somebody looks for it or needs the place: so nothing here ever
/// goes through all entries.
#[derive(Debug)]
pub(crate) struct Shard {
    entries: LruCache<Key, Entry>,
    /// All but the number of entries.
    counts: Stats,
}

/// What has become of lookups and entries. Those of several shards add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, derive_more::Add, derive_more::Sum)]
pub struct Stats {
    /// Lookups that found an entry.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Entries that gave way to others before their time.
    pub evicted: u64,
    /// Entries whose time was found to be over.
    pub expired: u64,
    /// Entries there are, with those whose time is over unnoticed.
    pub entries: usize,
}

impl Shard {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self { entries: LruCache::new(capacity), counts: Stats::default() }
    }

    /// If there is no room, the entry that was not used for longest gives way.
    pub(crate) fn insert(&mut self, key: Key, entry: Entry, now: Instant) {
        let replaces = self.entries.contains(&key);
        if let Some((_, (_, expires_at))) = self.entries.push(key, entry) {
            self.counts.expired += u64::from(expires_at <= now);
            self.counts.evicted += u64::from(now < expires_at && !replaces);
        }
    }

    /// An entry that is found becomes the one used last.
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
    /// How many of a hundred lookups found an entry.
    pub fn hit_rate_percent(&self) -> f64 {
        100.0 * self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }
}

#[cfg(test)]
mod tests;
