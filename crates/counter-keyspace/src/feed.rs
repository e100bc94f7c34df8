use std::fmt;

use ractor_outbox::Outbox;

use crate::deltas::Deltas;
use crate::follower::{FeedId, FeedOwner, Position};
use crate::handle::{KeyspaceError, KeyspaceHandle};
use crate::round::{EntryPage, RoundPage, SessionId, SessionRecord};
use crate::shard::ShardMessage;
use crate::table::TablePosition;

/// Changes of a keyspace, for one reader.
///
/// A reader gets the changes of a shard in rounds: pages of changed counters, and then an end that makes the round
/// complete. The first round of a feed is a reset with all counters. Several feeds of a keyspace do not affect each
/// other. A feed holds each changed counter once, however often it changes, and ends when it is dropped.
///
/// Changes stay pending until the round that they are in is [confirmed](Self::confirm). An answer that is lost in a
/// crash loses nothing: the same counters are in a later page.
///
/// ```
/// use counter_keyspace::{Keyspace, KeyspaceOptions};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
/// let keyspace = Keyspace::start(KeyspaceOptions::default()).await?;
/// let handle = keyspace.handle();
/// handle.increment("hits", 2).await?;
/// handle.flush().await?;
/// let mut feed = handle.follow();
/// let mut values = Vec::new();
/// for shard in 0..feed.shards() {
///     let round = feed.finish(shard).await?;
///     values.extend(round.changed.iter().map(|entry| entry.count.value));
///     feed.confirm(shard);
/// }
/// assert_eq!(values, [2]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Feed {
    shards: Vec<ShardFeed>,
}

/// Changes of one shard. Part of a [`Feed`], for readers that ask several shards at once.
pub struct ShardFeed {
    outbox: Outbox<Deltas, ShardMessage>,
    position: Position,
    is_finished: bool,
    /// `Some` until this is dropped.
    owner: Option<FeedOwner>,
}

/// Position of a page in a snapshot. The default is the first page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotToken(TablePosition);

/// Feed and its position, with which each request begins.
#[derive(Clone, Debug)]
pub struct FeedPosition {
    pub(crate) feed: FeedId,
    pub(crate) position: Position,
}

impl Feed {
    /// Creates a feed whose shards have these identities.
    pub(crate) fn new(keyspace: &KeyspaceHandle, owners: impl Iterator<Item = FeedOwner>) -> Self {
        let shards = keyspace.shards.iter().zip(owners).map(|(outbox, owner)| ShardFeed {
            outbox: outbox.clone(),
            position: Position::default(),
            is_finished: false,
            owner: Some(owner),
        });
        Self { shards: shards.collect() }
    }

    /// Returns up to `max_entries` changed counters of a shard, at least one. A page is shorter if their names are
    /// long.
    ///
    /// # Errors
    /// [`KeyspaceError::NoSuchShard`], [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`]. Nothing is lost: the
    /// next page holds what this one would have held.
    pub async fn pull(&mut self, shard: usize, max_entries: usize) -> Result<RoundPage, KeyspaceError> {
        self.shard(shard)?.pull(max_entries).await
    }

    /// Returns all the rest of a shard's round in one page, with its [`end`](RoundPage::end). The shard does nothing
    /// else meanwhile, so [`pull`](Self::pull) first while many counters are [left](RoundPage::left).
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn finish(&mut self, shard: usize) -> Result<RoundPage, KeyspaceError> {
        self.shard(shard)?.finish().await
    }

    /// Finishes a shard's round as [`finish`](Self::finish) does if at most `max_entries` changed counters are left.
    /// Otherwise returns a page without an end, as [`pull`](Self::pull) does.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn finish_within(
        &mut self,
        shard: usize,
        max_entries: usize,
    ) -> Result<RoundPage, KeyspaceError> {
        self.shard(shard)?.finish_within(max_entries).await
    }

    /// Confirms a finished round: what it holds is not handed out again unless it changes again. Without this, the
    /// next page continues the round. Has no effect on a round that is not finished.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn confirm(&mut self, shard: usize) {
        self.shards[shard].confirm();
    }

    /// Abandons the round: everything that it has handed out is pending again.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn retry(&mut self, shard: usize) {
        self.shards[shard].retry();
    }

    /// Visits up to `max_entries` counters of a shard and returns those that this feed has received as they are now,
    /// and the position of the next page. Together with the rounds from the first page to the first round that begins
    /// after the last page, the pages have all counters. They may have a counter twice, the later one being newer.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn snapshot_page(
        &mut self,
        shard: usize,
        token: SnapshotToken,
        max_entries: usize,
    ) -> Result<(EntryPage, Option<SnapshotToken>), KeyspaceError> {
        self.shard(shard)?.snapshot_page(token, max_entries).await
    }

    /// Returns up to `max_records` records of a shard's sessions after this one, in order.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn session_page(
        &mut self,
        shard: usize,
        after: Option<SessionId>,
        max_records: usize,
    ) -> Result<Vec<(SessionId, SessionRecord)>, KeyspaceError> {
        self.shard(shard)?.session_page(after, max_records).await
    }

    /// Returns the number of shards.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Returns the feeds of all shards, to ask them at once.
    pub fn shards_mut(&mut self) -> &mut [ShardFeed] {
        &mut self.shards
    }

    fn shard(&mut self, shard: usize) -> Result<&mut ShardFeed, KeyspaceError> {
        let shards = self.shards.len();
        self.shards.get_mut(shard).ok_or(KeyspaceError::NoSuchShard { shards })
    }
}

impl ShardFeed {
    /// Returns a page, as [`Feed::pull`] does.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn pull(&mut self, max_entries: usize) -> Result<RoundPage, KeyspaceError> {
        let position = self.position();
        let page = self
            .outbox
            .call(|reply| ShardMessage::TakePage(position.clone(), max_entries.max(1), reply))
            .await?;
        self.position.pages = self.position.pages.saturating_add(1);
        self.is_finished = false;
        Ok(page)
    }

    /// Returns the end of the round, as [`Feed::finish`] does.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn finish(&mut self) -> Result<RoundPage, KeyspaceError> {
        self.finish_within(usize::MAX).await
    }

    /// Returns the end of the round, or a page of it, as [`Feed::finish_within`] does.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn finish_within(&mut self, max_entries: usize) -> Result<RoundPage, KeyspaceError> {
        let position = self.position();
        let finish = |reply| ShardMessage::FinishRound(position.clone(), max_entries.max(1), reply);
        let page = self.outbox.call(finish).await?;
        self.position.pages = self.position.pages.saturating_add(1);
        self.is_finished = page.end.is_some();
        Ok(page)
    }

    /// Confirms a finished round, as [`Feed::confirm`] does.
    pub fn confirm(&mut self) {
        if self.is_finished {
            self.position.confirmed = self.position.round;
            self.retry();
        }
    }

    /// Abandons the round, as [`Feed::retry`] does.
    pub fn retry(&mut self) {
        self.position.round += 1;
        self.position.pages = 0;
        self.is_finished = false;
    }

    /// Returns a page of all counters, as [`Feed::snapshot_page`] does.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn snapshot_page(
        &mut self,
        SnapshotToken(from): SnapshotToken,
        max_entries: usize,
    ) -> Result<(EntryPage, Option<SnapshotToken>), KeyspaceError> {
        let position = self.position();
        let question = |reply| ShardMessage::GetSnapshotPage(position.clone(), from, max_entries, reply);
        let (page, next) = self.outbox.call(question).await?;
        Ok((page, next.map(SnapshotToken)))
    }

    /// Returns records of sessions, as [`Feed::session_page`] does.
    ///
    /// # Errors
    /// As those of [`pull`](Self::pull).
    pub async fn session_page(
        &mut self,
        after: Option<SessionId>,
        max_records: usize,
    ) -> Result<Vec<(SessionId, SessionRecord)>, KeyspaceError> {
        Ok(self.outbox.call(|reply| ShardMessage::GetSessions(after, max_records, reply)).await?)
    }

    fn position(&self) -> FeedPosition {
        let owner = self.owner.as_ref().expect("it is there until this is dropped");
        FeedPosition { feed: owner.id(), position: self.position }
    }
}

impl Drop for ShardFeed {
    /// Tells the shard, after the feed's identity has ended. If the shard is just restarting, it will notice that
    /// itself.
    fn drop(&mut self) {
        self.owner = None;
        if let Some(shard) = self.outbox.actor() {
            let _ = shard.cast(ShardMessage::RemoveEndedFeeds);
        }
    }
}

impl fmt::Debug for ShardFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardFeed").field("position", &self.position).finish_non_exhaustive()
    }
}
