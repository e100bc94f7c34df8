//! The feeds of a table: changes, removals and pages.

use std::iter;

use mutations::Mutation;

use super::{PAGE_NAME_BYTES, PREFETCH, Table, TablePosition};
use crate::follower::{FeedId, Follower, Position};
use crate::key::Key;
use crate::name_map::NameMap;
use crate::place_set::Place;
use crate::round::{EntryPage, RoundEnd, RoundPage, SessionId, ShardTotals};
use crate::sessions::Sessions;

impl Table {
    /// Adds a feed that has exactly the state that the table has now.
    pub(crate) fn follow_up_to_date(&mut self, id: FeedId) {
        let follower = Follower::up_to_date(id, self.lens());
        self.followers.push(follower);
    }

    /// Removes feeds that have been dropped.
    pub(crate) fn remove_ended_feeds(&mut self) {
        self.followers.retain(|follower| !follower.is_over());
    }

    /// Hands out up to `most` changed counters to a feed, which is added if it is new.
    pub(crate) fn take_page(&mut self, id: &FeedId, position: Position, most: usize) -> RoundPage {
        let at = self.begin_page(id, position);
        let reset = self.followers[at].begin_page();
        let changed = self.hand_out(at, most, PAGE_NAME_BYTES);
        RoundPage { reset, changed, left: self.followers[at].pending(), end: None }
    }

    /// Hands out the rest of a round, except for what the table does not know of its shard, or a page if more than
    /// `most` changed counters are left.
    pub(crate) fn finish_round(
        &mut self,
        id: &FeedId,
        position: Position,
        most: usize,
        sessions: &Sessions,
    ) -> RoundPage {
        let at = self.begin_page(id, position);
        if self.followers[at].pending() > most {
            return self.take_page(id, position, most);
        }
        let reset = self.followers[at].begin_page();
        let changed = self.hand_out(at, usize::MAX, usize::MAX);
        self.followers[at].finish();
        let end = RoundEnd {
            removed: self.followers[at].removals().map(|key| key.name.into()).collect(),
            sessions: sessions.records_of(self.followers[at].sessions()),
            session_floor: sessions.floor(),
            totals: ShardTotals { sessions: sessions.len() as u64, ..self.totals() },
            ..RoundEnd::default()
        };
        RoundPage { reset, changed, left: 0, end: Some(end) }
    }

    /// Returns a page of all counters except for those that a feed has yet to receive, and the position of the next.
    pub(crate) fn snapshot_page(
        &mut self,
        id: &FeedId,
        position: Position,
        from: TablePosition,
        most: usize,
    ) -> (EntryPage, Option<TablePosition>) {
        let at = self.begin_page(id, position);
        let (follower, mut page) = (&self.followers[at], EntryPage::default());
        let next = self.walk(from, most, |place, _, _| {
            // A name that the feed has not heard of leaves no trace when it is removed again.
            if !follower.is_dirty(place) || Mutation::RemovedCounterReappears.is_planted() {
                page.extend(self.entry(place));
            }
            page.name_bytes() < PAGE_NAME_BYTES
        });
        (page, next)
    }

    /// Records a change of a session's record.
    pub(crate) fn session_changed(&mut self, id: SessionId) {
        self.followers.iter_mut().for_each(|follower| follower.session_changed(id));
    }

    /// Records that a counter was removed and the last one of its segment moved to its place.
    pub(super) fn note_removal(&mut self, key: Key<'_>, place: Place, last: u32) {
        let Self { followers, segments, .. } = self;
        for follower in followers {
            follower.removed(key, place, last);
            if follower.is_beyond_bound(|| segments.iter().map(NameMap::len).sum()) {
                follower.reset(segments.iter().map(NameMap::len));
            }
        }
    }

    /// Returns the totals of all counters that are there, expired or not.
    pub(crate) fn totals(&self) -> ShardTotals {
        ShardTotals {
            names: self.len() as u64,
            value: self.total_value,
            operations: self.total_operations,
            rejected_operations: self.rejected_operations,
            sessions: 0,
            deadlines: self.deadlines.len() as u64,
        }
    }

    /// Returns the index of a feed's follower, which is added if it is new and moved to this position.
    fn begin_page(&mut self, id: &FeedId, position: Position) -> usize {
        let at = self.followers.iter().position(|follower| follower.id() == id).unwrap_or_else(|| {
            let follower = Follower::new(id.clone(), self.lens());
            self.followers.push(follower);
            self.followers.len() - 1
        });
        self.followers[at].move_to(position);
        at
    }

    fn hand_out(&mut self, at: usize, most: usize, most_name_bytes: usize) -> EntryPage {
        let mut page = EntryPage::default();
        let mut places = Vec::with_capacity(PREFETCH);
        while page.len() < most && page.name_bytes() < most_name_bytes {
            // Changed counters are seldom in the cache, and a processor waits for many at once as long as for one.
            let follower = &mut self.followers[at];
            places.extend(iter::from_fn(|| follower.hand_out()).take(PREFETCH.min(most - page.len())));
            if places.is_empty() {
                break;
            }
            places.iter().for_each(|&(segment, index)| self.segments[segment as usize].prefetch(index));
            page.extend(places.drain(..).filter_map(|place| self.entry(place)));
        }
        page
    }

    fn lens(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().map(NameMap::len)
    }
}
