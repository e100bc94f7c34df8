use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Weak};

use mutations::Mutation;

use crate::key::Key;
use crate::name_map::NameMap;
use crate::place_set::{Place, PlaceSet};
use crate::round::SessionId;

/// Number of removals that a feed may have yet to receive, beyond the number of counters. With more, sending all
/// counters again is cheaper.
const REMOVALS: usize = 1_024;

/// Identity of a feed, which ends when the feed is dropped.
#[derive(Clone, Debug)]
pub(crate) struct FeedId(Weak<()>);

/// Keeps a [`FeedId`] alive.
#[derive(Debug, Default)]
pub(crate) struct FeedOwner(Arc<()>);

/// Position of a feed in the rounds of one shard, which travels with each of its requests.
///
/// A request whose position is not the one that the shard expects follows a lost answer, or begins another round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the round, from 1 on. Each attempt at a round has another.
    pub(crate) round: u64,
    /// Number of pages of this round that have arrived.
    pub(crate) pages: u32,
    /// Last round that is confirmed, 0 if none is.
    pub(crate) confirmed: u64,
}

impl Default for Position {
    fn default() -> Self {
        Self { round: 1, pages: 0, confirmed: 0 }
    }
}

/// Changes of a shard that one feed has yet to receive. Pure.
///
/// A counter is in exactly one of three sets as long as the feed lacks its current state or may not have got it: it
/// has changed, or was handed out in the last page, or in an earlier page of the round. An answer that is lost puts
/// the last page back, an abandoned round all of its pages.
#[derive(Debug)]
pub(crate) struct Follower {
    id: FeedId,
    position: Position,
    /// True if the end of the round was handed out.
    is_finished: bool,
    dirty: PlaceSet,
    last_page: PlaceSet,
    earlier_pages: PlaceSet,
    /// Counters whose names the feed may have received. Only their removal is of interest.
    known: PlaceSet,
    removed: NameMap<()>,
    removed_in_last_page: NameMap<()>,
    reset: Reset,
    sessions: BTreeSet<SessionId>,
    sessions_in_last_page: BTreeSet<SessionId>,
}

/// Duty of a feed to forget everything, and the page that tells it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    No,
    /// With the next page.
    Due,
    InLastPage,
    InEarlierPage,
}

impl FeedOwner {
    pub(crate) fn id(&self) -> FeedId {
        FeedId(Arc::downgrade(&self.0))
    }
}

impl PartialEq for FeedId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for FeedId {}

impl Follower {
    /// Creates a follower that knows nothing of a table whose segments have these lengths.
    pub(crate) fn new(id: FeedId, lens: impl Iterator<Item = usize>) -> Self {
        let mut new = Self::of_nothing(id);
        new.reset(lens);
        new
    }

    /// Creates a follower that has exactly the state that the table has now.
    pub(crate) fn up_to_date(id: FeedId, lens: impl Iterator<Item = usize>) -> Self {
        let mut new = Self::of_nothing(id);
        new.known.fill(lens);
        new
    }

    fn of_nothing(id: FeedId) -> Self {
        Self {
            id,
            position: Position::default(),
            is_finished: false,
            dirty: PlaceSet::default(),
            last_page: PlaceSet::default(),
            earlier_pages: PlaceSet::default(),
            known: PlaceSet::default(),
            removed: NameMap::default(),
            removed_in_last_page: NameMap::default(),
            reset: Reset::No,
            sessions: BTreeSet::new(),
            sessions_in_last_page: BTreeSet::new(),
        }
    }

    /// Records a change of an existing counter.
    #[inline]
    pub(crate) fn changed(&mut self, place: Place) {
        self.dirty.insert(place);
    }

    /// Records a new counter. The removal of another one of this name is superseded.
    pub(crate) fn created(&mut self, key: Key<'_>, place: Place) {
        let was_pending = self.removed.remove(key).is_some();
        if self.removed_in_last_page.remove(key).is_some() || was_pending {
            self.known.insert(place);
        }
    }

    /// Records the removal of a counter, in whose place the last one of the segment is now.
    pub(crate) fn removed(&mut self, key: Key<'_>, place: Place, last: u32) {
        for set in [&mut self.dirty, &mut self.last_page, &mut self.earlier_pages] {
            set.swap_remove(place, last);
        }
        if self.known.swap_remove(place, last) {
            self.removed.get_or_insert_index(key);
        }
    }

    /// Returns true if so many removals are pending that handing out this number of counters is cheaper.
    pub(crate) fn is_beyond_bound(&self, counters: impl FnOnce() -> usize) -> bool {
        self.removed.len() > REMOVALS && self.removed.len() - REMOVALS > counters()
    }

    /// Records a change of a session's record.
    pub(crate) fn session_changed(&mut self, id: SessionId) {
        self.sessions.insert(id);
    }

    /// Forgets what the feed knows: everything will be handed out again.
    pub(crate) fn reset(&mut self, lens: impl Iterator<Item = usize>) {
        self.dirty.fill(lens);
        for set in [&mut self.last_page, &mut self.earlier_pages, &mut self.known] {
            set.clear();
        }
        self.removed = NameMap::default();
        self.removed_in_last_page = NameMap::default();
        self.reset = Reset::Due;
    }

    /// Moves to the position of a request: confirms or puts back what was handed out before.
    pub(crate) fn move_to(&mut self, position: Position) {
        if position.round != self.position.round {
            if self.is_finished && position.confirmed == self.position.round {
                self.confirm();
            } else {
                self.put_back_last_page();
                self.put_back_earlier_pages();
            }
        } else if position.pages != self.position.pages {
            self.put_back_last_page();
            if position.pages.checked_add(1) != Some(self.position.pages) {
                self.put_back_earlier_pages();
            }
        } else {
            return;
        }
        self.position = position;
        self.is_finished = false;
    }

    /// Begins the next page, and returns true if it is a reset.
    pub(crate) fn begin_page(&mut self) -> bool {
        // A round that was finished and goes on is finished once more, with all that its end has to hold.
        if self.is_finished {
            self.put_back_end();
            self.is_finished = false;
        }
        self.earlier_pages.append(&mut self.last_page);
        self.position.pages = self.position.pages.saturating_add(1);
        match self.reset {
            Reset::Due => self.reset = Reset::InLastPage,
            Reset::InLastPage => self.reset = Reset::InEarlierPage,
            Reset::No | Reset::InEarlierPage => {}
        }
        self.reset == Reset::InLastPage
    }

    /// Hands out one changed counter.
    pub(crate) fn hand_out(&mut self) -> Option<Place> {
        let place = self.dirty.pop()?;
        self.last_page.insert(place);
        self.known.insert(place);
        Some(place)
    }

    /// Ends the round: hands out all removals, and the sessions that have changed.
    pub(crate) fn finish(&mut self) {
        self.removed_in_last_page = mem::take(&mut self.removed);
        if !Mutation::SessionInLaterRound.is_planted() || self.last_page.len() == 0 {
            self.sessions_in_last_page = mem::take(&mut self.sessions);
        }
        self.is_finished = true;
    }

    fn confirm(&mut self) {
        self.last_page.clear();
        self.earlier_pages.clear();
        self.removed_in_last_page = NameMap::default();
        self.sessions_in_last_page.clear();
        if self.reset != Reset::Due {
            self.reset = Reset::No;
        }
    }

    fn put_back_last_page(&mut self) {
        self.dirty.append(&mut self.last_page);
        self.put_back_end();
        if self.reset == Reset::InLastPage {
            self.reset = Reset::Due;
        }
    }

    fn put_back_earlier_pages(&mut self) {
        self.dirty.append(&mut self.earlier_pages);
        if self.reset == Reset::InEarlierPage {
            self.reset = Reset::Due;
        }
    }

    fn put_back_end(&mut self) {
        let removed = mem::take(&mut self.removed_in_last_page);
        for (key, ()) in removed.iter().filter(|_| !Mutation::RemovalLostWithAnswer.is_planted()) {
            self.removed.get_or_insert_index(key);
        }
        self.sessions.append(&mut self.sessions_in_last_page);
    }

    /// Returns the removals that the end of the round holds.
    pub(crate) fn removals(&self) -> impl Iterator<Item = Key<'_>> {
        self.removed_in_last_page.iter().map(|(key, ())| key)
    }

    /// Returns the sessions that the end of the round holds, or `None` if it holds all.
    pub(crate) fn sessions(&self) -> Option<&BTreeSet<SessionId>> {
        (self.reset == Reset::No).then_some(&self.sessions_in_last_page)
    }

    /// Returns true if the feed has yet to receive the state of this counter.
    pub(crate) fn is_dirty(&self, place: Place) -> bool {
        self.dirty.contains(place)
    }

    /// Returns the number of changed counters that are yet to be handed out.
    pub(crate) const fn pending(&self) -> usize {
        self.dirty.len()
    }

    pub(crate) const fn id(&self) -> &FeedId {
        &self.id
    }

    /// Returns true if the feed has been dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.id.0.strong_count() == 0
    }
}
