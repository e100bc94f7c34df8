//! Where the committer takes the changes from.

use counter_keyspace::{
    EntryPage, Feed, KeyspaceError, KeyspaceHandle, RoundPage, SessionId, SessionRecord, SnapshotToken,
};
use futures_util::future::try_join_all;

/// Changes of a keyspace.
pub(crate) trait Source: Send + 'static {
    /// Position in a snapshot.
    type Token: Copy + Default + Send;

    /// Returns the number of shards.
    fn shards(&self) -> usize;

    /// Finishes the rounds of all shards at once, or returns a page of those that have more changed counters left than
    /// this.
    fn finish_all(
        &mut self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<RoundPage>, KeyspaceError>> + Send;

    /// Finishes the round of one shard in the same way.
    fn finish(
        &mut self,
        shard: usize,
        most: usize,
    ) -> impl Future<Output = Result<RoundPage, KeyspaceError>> + Send;

    /// Confirms the round of all shards.
    fn confirm(&mut self);

    /// Makes pending again what was handed out in this round.
    fn retry(&mut self);

    /// Makes everything pending: the next round is a reset of each shard.
    fn reset(&mut self);

    /// Returns about this number of counters that are not pending, and the position of the next page.
    fn snapshot_page(
        &mut self,
        shard: usize,
        from: Self::Token,
        most: usize,
    ) -> impl Future<Output = Result<(EntryPage, Option<Self::Token>), KeyspaceError>> + Send;

    /// Returns up to this number of session records behind this one.
    fn session_page(
        &mut self,
        shard: usize,
        after: Option<SessionId>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<(SessionId, SessionRecord)>, KeyspaceError>> + Send;
}

/// Feed of a keyspace.
#[derive(Debug)]
pub(crate) struct FeedSource {
    keyspace: KeyspaceHandle,
    feed: Feed,
}

impl FeedSource {
    pub(crate) const fn new(keyspace: KeyspaceHandle, feed: Feed) -> Self {
        Self { keyspace, feed }
    }
}

impl Source for FeedSource {
    type Token = SnapshotToken;

    fn shards(&self) -> usize {
        self.feed.shards()
    }

    async fn finish_all(&mut self, most: usize) -> Result<Vec<RoundPage>, KeyspaceError> {
        let shards = self.feed.shards_mut();
        try_join_all(shards.iter_mut().map(|shard| shard.finish_within(most))).await
    }

    async fn finish(&mut self, shard: usize, most: usize) -> Result<RoundPage, KeyspaceError> {
        self.feed.finish_within(shard, most).await
    }

    fn confirm(&mut self) {
        (0..self.feed.shards()).for_each(|shard| self.feed.confirm(shard));
    }

    fn retry(&mut self) {
        (0..self.feed.shards()).for_each(|shard| self.feed.retry(shard));
    }

    fn reset(&mut self) {
        self.feed = self.keyspace.follow();
    }

    async fn snapshot_page(
        &mut self,
        shard: usize,
        from: SnapshotToken,
        most: usize,
    ) -> Result<(EntryPage, Option<SnapshotToken>), KeyspaceError> {
        self.feed.snapshot_page(shard, from, most).await
    }

    async fn session_page(
        &mut self,
        shard: usize,
        after: Option<SessionId>,
        most: usize,
    ) -> Result<Vec<(SessionId, SessionRecord)>, KeyspaceError> {
        self.feed.session_page(shard, after, most).await
    }
}
