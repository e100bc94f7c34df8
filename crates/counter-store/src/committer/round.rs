//! One round: what has changed in all shards, in one atomic batch.

use std::io;

use counter_keyspace::{RoundEnd, RoundPage, SessionId};
use mutations::Mutation;

use crate::frame::Flags;
use crate::log::Log;
use crate::record::{Payload, ShardEnd};
use crate::replicas::Columns;
use crate::source::Source;

use super::replicas::put_page;
use super::{Committer, RoundError, wait_for};

/// Maximum number of counters that a shard hands out without a break, for about a millisecond. A round with more of
/// them is taken page by page, so that no shard pauses for long.
const PAGE_ENTRIES: usize = 16_384;

/// Number of times that as many counters as a shard had left are taken page by page, before it has to hand out the rest
/// at once. Fewer are left each time, unless they change as fast as they are taken.
const PATIENCE: usize = 4;

/// Time in milliseconds by which a shard's clock advances before it is written for its own sake.
const CLOCK_STEP_MS: u64 = 1000;

/// Round that is being written.
struct RoundWriter<'a> {
    log: &'a mut Log,
    payload: &'a mut Payload,
    has_begun: bool,
}

impl<S: Source, C: Columns> Committer<S, C> {
    /// Commits a round. If it returns an error of the source, nothing has been committed, and nothing is lost.
    pub(crate) async fn round(&mut self) -> Result<(), RoundError> {
        self.payload.clear();
        let collected = self.collect().await;
        if matches!(collected, Err(RoundError::Source(_))) {
            self.source.retry();
            self.replicas.columns.retry();
        }
        collected?;
        self.end_snapshot_pages();
        Ok(())
    }

    async fn collect(&mut self) -> Result<(), RoundError> {
        let mut writer = RoundWriter { log: &mut self.log, payload: &mut self.payload, has_begun: false };
        let mut taken = vec![Taken::default(); self.ends.len()];
        writer.write(|payload, full| self.replicas.begin_round(self.needs_complete, payload, full))?;
        // As many as were left at first: what changes meanwhile comes last, or in the next round.
        let mut left = usize::MAX;
        while left > 0 {
            let page = self.replicas.columns.pull(PAGE_ENTRIES).await?;
            left = left.saturating_sub(page.len()).min(page.left);
            writer.write(|payload, full| put_page(&page, payload, full))?;
        }
        let (mut ends, mut versions) = (self.ends.clone(), self.versions.clone());
        for (shard, mut page) in self.source.finish_all(PAGE_ENTRIES).await?.into_iter().enumerate() {
            // Counters that change meanwhile are handed out again.
            let mut patience = page.left.saturating_mul(PATIENCE);
            while page.end.is_none() {
                taken[shard].add(&page);
                writer.page(shard, &page)?;
                patience = patience.saturating_sub(page.changed.len().max(1));
                let most = if patience > 0 { PAGE_ENTRIES } else { usize::MAX };
                page = self.source.finish(shard, most).await?;
            }
            taken[shard].add(&page);
            let Some(end) = &page.end else { continue };
            versions[shard] = end.version;
            if taken[shard].is_something() || !is_unchanged(&ends[shard], end) {
                ends[shard] = ShardEnd::from(end);
                writer.page(shard, &page)?;
            }
        }
        let (page, column_ends) = self.replicas.columns.finish().await?;
        writer.write(|payload, full| {
            put_page(&page, payload, full)?;
            self.replicas.end_round(column_ends, payload, full)
        })?;
        let floor = self.session_floor;
        if self.committed_floor < floor {
            writer.payload.floor(floor);
        }
        if writer.has_something() || self.needs_complete {
            let is_complete = taken.iter().all(|taken| taken.is_reset);
            if self.needs_complete && !is_complete {
                return Err(io::Error::other("incomplete state from the keyspace").into());
            }
            writer.commit(is_complete)?;
            wait_for(&*self.disk).await;
            if !Mutation::AcknowledgeBeforeSync.is_planted() {
                self.log.sync()?;
            }
            self.watermark.write(self.log.durable())?;
            wait_for(&*self.disk).await;
        }
        self.source.confirm();
        self.replicas.confirm();
        (self.ends, self.versions, self.committed_floor) = (ends, versions, floor);
        self.needs_complete = false;
        Ok(())
    }

    /// Sets the floor of sessions that the next rounds hold.
    pub(crate) fn raise_session_floor(&mut self, floor: SessionId) {
        self.session_floor = self.session_floor.max(floor);
    }
}

impl RoundWriter<'_> {
    fn page(&mut self, shard: usize, page: &RoundPage) -> Result<(), RoundError> {
        self.write(|payload, full| payload.page(shard, page, full))
    }

    /// Writes records by a function that is given the payload and what to do when it is full.
    fn write(
        &mut self,
        records: impl FnOnce(&mut Payload, &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<(), RoundError> {
        let Self { log, payload, has_begun } = self;
        records(payload, &mut |bytes: &[u8]| {
            let flags = if *has_begun { Flags::NONE } else { Flags::FIRST };
            *has_begun = true;
            log.append(flags, bytes)
        })?;
        Ok(())
    }

    const fn has_something(&self) -> bool {
        self.has_begun || !self.payload.is_empty()
    }

    fn commit(&mut self, is_complete: bool) -> Result<(), RoundError> {
        let first = if self.has_begun { Flags::NONE } else { Flags::FIRST };
        let complete = if is_complete { Flags::COMPLETE } else { Flags::NONE };
        self.log.append(Flags::COMMIT.and(first).and(complete), self.payload.bytes())?;
        self.payload.clear();
        Ok(())
    }
}

/// The part of one shard in a round.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    is_reset: bool,
    entries: usize,
}

impl Taken {
    fn add(&mut self, page: &RoundPage) {
        self.is_reset |= page.reset;
        self.entries += page.changed.len();
    }

    const fn is_something(self) -> bool {
        self.is_reset || self.entries > 0
    }
}

/// Returns true if the end of a round without counters says nothing new.
fn is_unchanged(before: &ShardEnd, end: &RoundEnd) -> bool {
    let now = ShardEnd::from(end);
    let has_ticked = now.totals.deadlines > 0 && now.clock_ms >= before.clock_ms + CLOCK_STEP_MS;
    let is_same = ShardEnd { clock_ms: before.clock_ms, ..now } == *before;
    is_same && !has_ticked && end.removed.is_empty() && end.sessions.is_empty()
}
