use std::mem;
use std::sync::Arc;
use std::time::Duration;

use counter_protocol::{AggregatedStats, Count, CounterName, GetGroupStats, Rate};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::Parcel;
use ractor_supervision::{Lease, OwnedTask};
use tokio::time::{Instant, sleep};

use crate::clock::{Clock, ShardClock};
use crate::deltas::Deltas;
use crate::feed::FeedPosition;
use crate::follower::FeedId;
use crate::handle::Page;
use crate::key::OwnedKey;
use crate::round::{EntryPage, RoundPage, SessionId, SessionRecord};
use crate::sessions::Sessions;
use crate::table::{OverflowPolicy, PREFETCH, Table, TablePosition};

/// The actor around a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct ShardActor;

/// Message to a shard.
#[derive(Debug)]
pub enum ShardMessage {
    /// Applies the contents of a handle's outbox.
    Parcel(Parcel<Deltas>),
    /// Asks for a counter.
    Get(OwnedKey, RpcReplyPort<Option<Count>>),
    /// Asks for the version of the shard, behind everything that was sent before.
    Flush(RpcReplyPort<u64>),
    /// Takes the counters whose values are outside of the range of `i64`.
    TakeOverflowed(RpcReplyPort<Vec<(CounterName, i128)>>),
    /// Asks for the statistics of all counters together.
    GetStats(RpcReplyPort<AggregatedStats>),
    /// Asks for the counters with the largest values.
    GetTop(usize, RpcReplyPort<Vec<(CounterName, Count)>>),
    /// Asks for up to this number of counters with a prefix, from a position on.
    GetPage(TablePosition, usize, Box<[u8]>, RpcReplyPort<(Page, Option<TablePosition>)>),
    /// Hands out up to this number of changed counters to a feed.
    TakePage(FeedPosition, usize, RpcReplyPort<RoundPage>),
    /// Hands out the rest of a round to a feed, or up to this number of changed counters if there are more.
    FinishRound(FeedPosition, usize, RpcReplyPort<RoundPage>),
    /// Asks for up to this number of counters that a feed has received, from a position on.
    GetSnapshotPage(FeedPosition, TablePosition, usize, RpcReplyPort<(EntryPage, Option<TablePosition>)>),
    /// Asks for up to this number of records of sessions after this one.
    GetSessions(Option<SessionId>, usize, RpcReplyPort<Vec<(SessionId, SessionRecord)>>),
    /// Ends all sessions below this one, and asks for the version of the shard.
    RaiseSessionFloor(SessionId, RpcReplyPort<u64>),
    /// Removes the feeds that have been dropped.
    RemoveEndedFeeds,
    /// Removes some of the counters that have expired.
    Sweep,
}

impl Message for ShardMessage {}

impl From<Parcel<Deltas>> for ShardMessage {
    fn from(parcel: Parcel<Deltas>) -> Self {
        Self::Parcel(parcel)
    }
}

impl From<GetGroupStats> for ShardMessage {
    fn from(GetGroupStats(reply): GetGroupStats) -> Self {
        Self::GetStats(reply)
    }
}

/// Converts back, for a shard that could not be asked.
impl TryFrom<ShardMessage> for GetGroupStats {
    type Error = ();

    fn try_from(message: ShardMessage) -> Result<Self, ()> {
        match message {
            ShardMessage::GetStats(reply) => Ok(Self(reply)),
            ShardMessage::Parcel(_)
            | ShardMessage::Get(..)
            | ShardMessage::Flush(_)
            | ShardMessage::TakeOverflowed(_)
            | ShardMessage::GetTop(..)
            | ShardMessage::GetPage(..)
            | ShardMessage::TakePage(..)
            | ShardMessage::FinishRound(..)
            | ShardMessage::GetSnapshotPage(..)
            | ShardMessage::GetSessions(..)
            | ShardMessage::RaiseSessionFloor(..)
            | ShardMessage::RemoveEndedFeeds
            | ShardMessage::Sweep => Err(()),
        }
    }
}

/// Maximum number of expired counters that are removed at once.
const SWEEP: usize = 64;

/// Interval between looks for expired counters, while there are counters with a deadline.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Trigger of the next sweep.
#[derive(Debug, Default)]
enum Sweeping {
    #[default]
    No,
    /// A timer.
    Waiting(#[expect(dead_code, reason = "it ends when it is dropped")] OwnedTask),
    /// A message under way, because there was more to sweep than fits into one.
    Sent,
}

/// State of a shard, which it keeps through restarts.
#[derive(Debug, Default)]
pub struct ShardState {
    table: Table,
    sessions: Sessions,
    /// Number of handled messages that may have changed the shard.
    version: u64,
    clock: ShardClock,
    sweeping: Sweeping,
    restarts: u64,
    /// Time at which the first incarnation started.
    started: Option<Instant>,
}

impl From<Table> for ShardState {
    /// Creates the state of a shard that resumes from a table.
    fn from(table: Table) -> Self {
        Self { table, ..Self::default() }
    }
}

impl ShardState {
    /// Creates the state of a shard that resumes from a table and its sessions.
    pub(crate) fn recovered(table: Table, sessions: Sessions) -> Self {
        Self { table, sessions, ..Self::default() }
    }

    /// Adds a feed that has exactly this state.
    pub(crate) fn follow_up_to_date(&mut self, id: FeedId) {
        self.table.follow_up_to_date(id);
    }

    pub(crate) fn set_clock(&mut self, source: Arc<dyn Clock>) {
        self.clock = source.into();
    }

    /// Moves the time forward, and removes some of the counters that have expired.
    fn advance(&mut self) {
        let now_ms = self.clock.after(self.table.clock_ms());
        self.table.advance(now_ms);
        if self.table.has_expired() {
            self.version += 1;
            self.table.sweep(SWEEP);
        }
        self.sessions.free(SWEEP);
    }

    /// Arranges for the next sweep, if there is something to expire.
    fn schedule_sweep(&mut self, myself: &ActorRef<ShardMessage>) {
        if !matches!(self.sweeping, Sweeping::No) || self.table.deadlines().len() == 0 {
            return;
        }
        self.sweeping = if self.table.has_expired() {
            // Behind the messages that wait, so that none waits for more than one sweep. An error means that this
            // shard has stopped.
            let _ = myself.cast(ShardMessage::Sweep);
            Sweeping::Sent
        } else {
            let myself = myself.clone();
            let timer = tokio::spawn(async move {
                sleep(SWEEP_EVERY).await;
                let _ = myself.cast(ShardMessage::Sweep);
            });
            Sweeping::Waiting(timer.into())
        };
    }

    pub(crate) const fn set_max_names(&mut self, names: usize) {
        self.table.set_max_names(names);
    }

    pub(crate) const fn set_overflow(&mut self, overflow: OverflowPolicy) {
        self.table.set_overflow(overflow);
    }

    /// Takes the table, and leaves an empty one.
    pub(crate) fn take_table(&mut self) -> Table {
        mem::take(&mut self.table)
    }

    /// Applies a whole batch.
    fn apply(&mut self, deltas: &mut Deltas) {
        self.version += u64::from(!deltas.is_question());
        loop {
            self.table.apply_all(deltas);
            if deltas.first_call().is_none() {
                return;
            }
            while self.apply_one(deltas) {}
        }
    }

    /// Applies one operation of the first call of a batch, if nothing comes before it, and answers the call with its
    /// last one. Returns false if there is none.
    ///
    /// A call stays in the batch until then, so that a crash between two operations repeats nothing.
    fn apply_one(&mut self, deltas: &mut Deltas) -> bool {
        let Some(call) = deltas.first_call() else { return false };
        if call.applied().is_multiple_of(PREFETCH) && call.left() > 1 {
            self.table.prefetch(call.upcoming(PREFETCH));
        }
        let applied = match call.session() {
            None => {
                call.apply_next(|key, operation| self.table.operate(key, operation));
                Ok(())
            }
            Some(request) => self.sessions.begin(request).map(|record| {
                call.apply_next_in_session(record, |key, operation| self.table.operate(key, operation));
                self.table.session_changed(request.id);
            }),
        };
        if (applied.is_err() || call.left() == 0)
            && let Some(call) = deltas.pop_call()
        {
            call.answer(applied, self.version);
        }
        true
    }

    /// Hands out the rest of a round to a feed, or up to this number of changed counters if there are more.
    fn finish_round(&mut self, FeedPosition { feed, position }: &FeedPosition, most: usize) -> RoundPage {
        let mut page = self.table.finish_round(feed, *position, most, &self.sessions);
        if let Some(end) = &mut page.end {
            // A long page takes a while, and what is persisted is the latest time.
            self.table.advance(self.clock.after(self.table.clock_ms()));
            (end.version, end.clock_ms) = (self.version, self.table.clock_ms());
        }
        page
    }

    /// Returns the statistics without a recent rate. The aggregator computes that between two answers.
    fn stats(&self) -> AggregatedStats {
        let table = &self.table;
        let uptime = self.started.map(|started| started.elapsed());
        let operations = u64::try_from(table.total_operations()).unwrap_or(u64::MAX);
        AggregatedStats {
            total_value: table.total_value(),
            total_operations: table.total_operations(),
            rejected_operations: table.rejected_operations(),
            restarts: self.restarts.into(),
            num_counters: table.len() as u64,
            operations_per_second: Rate::of(operations, uptime.unwrap_or_default()),
            ..AggregatedStats::default()
        }
    }
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = Lease<ShardState>;
    type Arguments = Lease<ShardState>;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        mut state: Lease<ShardState>,
    ) -> Result<Lease<ShardState>, ActorProcessingErr> {
        state.restarts += u64::from(state.started.is_some());
        // A message from a feed that ended may have been lost with the previous incarnation.
        state.table.remove_ended_feeds();
        state.started.get_or_insert_with(Instant::now);
        // The previous incarnation's timer or message ended with it.
        state.sweeping = Sweeping::No;
        state.schedule_sweep(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        // The caller may have given up by now, so a failed reply is no error.
        let state: &mut ShardState = state;
        if !matches!(message, ShardMessage::Parcel(_)) {
            state.advance();
        }
        let table = &mut state.table;
        match message {
            ShardMessage::Parcel(parcel) => {
                if let Some(mut deltas) = parcel.open() {
                    // Operations that have come in until now are applied at this time.
                    state.advance();
                    state.apply(&mut deltas);
                }
            }
            ShardMessage::Get(key, reply) => _ = reply.send(table.get(key.borrow())),
            ShardMessage::Flush(reply) => _ = reply.send(state.version),
            ShardMessage::TakeOverflowed(reply) => {
                state.version += 1;
                let _ = reply.send(table.take_overflowed());
            }
            ShardMessage::GetStats(reply) => _ = reply.send(state.stats()),
            ShardMessage::GetTop(n, reply) => _ = reply.send(table.top(n)),
            ShardMessage::GetPage(from, most, prefix, reply) => {
                let _ = reply.send(table.page(from, most, &prefix));
            }
            ShardMessage::TakePage(FeedPosition { feed, position }, most, reply) => {
                let _ = reply.send(table.take_page(&feed, position, most));
            }
            ShardMessage::FinishRound(position, most, reply) => {
                let _ = reply.send(state.finish_round(&position, most));
            }
            ShardMessage::GetSnapshotPage(FeedPosition { feed, position }, from, most, reply) => {
                let _ = reply.send(table.snapshot_page(&feed, position, from, most));
            }
            ShardMessage::GetSessions(after, most, reply) => {
                let _ = reply.send(state.sessions.page(after, most));
            }
            ShardMessage::RaiseSessionFloor(floor, reply) => {
                state.version += 1;
                state.sessions.raise_floor(floor);
                let _ = reply.send(state.version);
            }
            ShardMessage::RemoveEndedFeeds => table.remove_ended_feeds(),
            ShardMessage::Sweep => state.sweeping = Sweeping::No,
        }
        state.schedule_sweep(&myself);
        Ok(())
    }
}

#[cfg(test)]
mod call_faults;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod feed_faults;
#[cfg(test)]
mod session_tests;
