use std::collections::BTreeSet;
use std::mem;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use counter_keyspace::{Entry, EntryPage, KeyspaceError, RoundEnd, RoundPage, SessionId, SessionRecord};
use counter_protocol::Count;

use crate::rebuild::{Rebuild, SortedShard};
use crate::source::Source;

/// Number of shards.
pub(super) const SHARDS: usize = 2;

/// Number of counters in a page, of a round that is handed out page by page.
const PAGE_ENTRIES: usize = 3;

/// Shards with one feed, without actors. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct FakeSource {
    shards: Arc<Mutex<Vec<FakeShard>>>,
    /// Shard that does not answer the next time.
    unanswering: Arc<Mutex<Option<usize>>>,
}

#[derive(Clone, Debug, Default)]
struct FakeShard {
    state: SortedShard,
    is_reset: bool,
    /// Rounds are handed out page by page.
    is_paged: bool,
    /// Counters that are handed out in a page change again at once.
    is_restless: bool,
    /// Names that have changed or gone.
    dirty: BTreeSet<Box<[u8]>>,
    handed_out: BTreeSet<Box<[u8]>>,
    dirty_sessions: BTreeSet<SessionId>,
}

impl FakeSource {
    /// Creates shards in this state, whose feed has it already.
    pub(super) fn new(states: Vec<SortedShard>) -> Self {
        let shards = states.into_iter().map(|state| FakeShard { state, ..FakeShard::default() });
        Self { shards: Arc::new(Mutex::new(shards.collect())), unanswering: Arc::default() }
    }

    pub(super) fn state(&self) -> Vec<SortedShard> {
        self.shards().iter().map(|shard| shard.state.clone()).collect()
    }

    /// Adds to a counter. The first byte of its name says which shard it is in.
    pub(super) fn add(&self, name: u8, amount: i64) {
        let shard = &mut self.shards()[usize::from(name) % SHARDS];
        let name: Box<[u8]> = vec![name; usize::from(name % 7) * 9 + 1].into();
        let (count, _) = shard.state.counters.entry(name.clone()).or_default();
        *count = Count { value: count.value + amount, operations: count.operations + 1 };
        shard.dirty.insert(name);
    }

    pub(super) fn remove(&self, name: u8) {
        let shard = &mut self.shards()[usize::from(name) % SHARDS];
        let name: Box<[u8]> = vec![name; usize::from(name % 7) * 9 + 1].into();
        if shard.state.counters.remove(&name).is_some() {
            shard.dirty.insert(name);
        }
    }

    pub(super) fn reject(&self, shard: usize) {
        self.shards()[shard].state.rejected_operations += 1;
    }

    pub(super) fn use_session(&self, number: u64) {
        let shard = &mut self.shards()[0];
        let id = SessionId { incarnation: 1, number };
        let record = SessionRecord { sequence: 0, fingerprint: 7, done: 1, outcomes: Vec::new() };
        shard.state.sessions.entry(id).or_insert(record).sequence += 1;
        shard.dirty_sessions.insert(id);
    }

    /// Hands out the next rounds page by page, or not.
    pub(super) fn set_paged(&self, is_paged: bool) {
        self.shards().iter_mut().for_each(|shard| shard.is_paged = is_paged);
    }

    /// Makes counters change again as soon as a page with them has been handed out.
    pub(super) fn set_restless(&self) {
        self.shards().iter_mut().for_each(|shard| shard.is_restless = true);
    }

    /// Lets a shard give no answer once.
    pub(super) fn leave_unanswered(&self, shard: usize) {
        *self.unanswering.lock().unwrap() = Some(shard);
    }

    fn shards(&self) -> MutexGuard<'_, Vec<FakeShard>> {
        self.shards.lock().unwrap()
    }
}

impl FakeShard {
    /// Hands out counters, but no removals, which come last.
    fn page(&mut self, most: usize) -> RoundPage {
        let counters = &self.state.counters;
        let removed: Vec<_> =
            self.dirty.iter().filter(|name| !counters.contains_key(*name)).cloned().collect();
        removed.iter().for_each(|name| _ = self.dirty.remove(name));
        let (changed, _) = self.hand_out(most);
        let left = self.dirty.len();
        self.dirty.extend(removed);
        if self.is_restless {
            self.dirty.append(&mut self.handed_out);
        }
        RoundPage { reset: mem::take(&mut self.is_reset), changed, left, end: None }
    }

    fn hand_out(&mut self, most: usize) -> (EntryPage, Vec<Box<[u8]>>) {
        let (mut page, mut removed) = (EntryPage::default(), Vec::new());
        for _ in 0..most {
            let Some(name) = self.dirty.pop_first() else { break };
            match self.state.counters.get(&name) {
                Some(&(count, deadline_ms)) => page.push(Entry { name: &name, count, deadline_ms }),
                None => removed.push(name.clone()),
            }
            self.handed_out.insert(name);
        }
        (page, removed)
    }
}

impl Source for FakeSource {
    type Token = usize;

    fn shards(&self) -> usize {
        SHARDS
    }

    async fn finish_all(&mut self, most: usize) -> Result<Vec<RoundPage>, KeyspaceError> {
        let mut pages = Vec::new();
        for shard in 0..SHARDS {
            pages.push(self.finish(shard, most).await?);
        }
        Ok(pages)
    }

    async fn finish(&mut self, shard: usize, most: usize) -> Result<RoundPage, KeyspaceError> {
        if self.unanswering.lock().unwrap().take_if(|unanswering| *unanswering == shard).is_some() {
            return Err(KeyspaceError::Unanswered);
        }
        let shard = &mut self.shards()[shard];
        let changed = shard.dirty.iter().filter(|name| shard.state.counters.contains_key(*name)).count();
        if shard.is_paged && changed > PAGE_ENTRIES && most < usize::MAX {
            return Ok(shard.page(PAGE_ENTRIES));
        }
        let (changed, removed) = shard.hand_out(usize::MAX);
        let sessions = shard.dirty_sessions.iter().map(|id| (*id, shard.state.sessions[id].clone()));
        let end = RoundEnd {
            removed,
            sessions: sessions.collect(),
            totals: shard.state.totals(),
            ..RoundEnd::default()
        };
        Ok(RoundPage { reset: mem::take(&mut shard.is_reset), changed, left: 0, end: Some(end) })
    }

    fn confirm(&mut self) {
        for shard in self.shards().iter_mut() {
            shard.handed_out.clear();
            shard.dirty_sessions.clear();
        }
    }

    fn retry(&mut self) {
        for shard in self.shards().iter_mut() {
            shard.dirty.append(&mut shard.handed_out);
        }
    }

    fn reset(&mut self) {
        for shard in self.shards().iter_mut() {
            shard.is_reset = true;
            shard.handed_out.clear();
            shard.dirty = shard.state.counters.keys().cloned().collect();
            shard.dirty_sessions = shard.state.sessions.keys().copied().collect();
        }
    }

    async fn snapshot_page(
        &mut self,
        shard: usize,
        from: usize,
        _most: usize,
    ) -> Result<(EntryPage, Option<usize>), KeyspaceError> {
        const MOST: usize = 4;
        let shard = &self.shards()[shard];
        let mut page = EntryPage::default();
        // Positions are first bytes of names, so that others may come and go.
        let end = from + 256 / MOST;
        for (name, &(count, deadline_ms)) in &shard.state.counters {
            if (from..end).contains(&usize::from(name[0])) && !shard.dirty.contains(name) {
                page.push(Entry { name, count, deadline_ms });
            }
        }
        Ok((page, (end < 256).then_some(end)))
    }

    async fn session_page(
        &mut self,
        shard: usize,
        after: Option<SessionId>,
        most: usize,
    ) -> Result<Vec<(SessionId, SessionRecord)>, KeyspaceError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let shard = &self.shards()[shard];
        let records = shard.state.sessions.range((from, Bound::Unbounded)).take(most);
        Ok(records.map(|(id, record)| (*id, record.clone())).collect())
    }
}
