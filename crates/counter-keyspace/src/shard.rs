use std::mem;

use counter_protocol::{AggregatedStats, Count, CounterName, GetGroupStats, Rate};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::Parcel;
use ractor_supervision::Lease;
use tokio::time::Instant;

use crate::deltas::Deltas;
use crate::key::OwnedKey;
use crate::table::{Changed, Table};

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
    /// Removes a counter.
    Remove(OwnedKey, RpcReplyPort<Option<Count>>),
    /// Asks for an answer behind everything that was sent before.
    Flush(RpcReplyPort<()>),
    /// Takes the counters whose values are outside of the range of `i64`.
    TakeOverflowed(RpcReplyPort<Vec<(CounterName, i128)>>),
    /// Asks for the statistics of all counters together.
    GetStats(RpcReplyPort<AggregatedStats>),
    /// Asks for the counters with the largest values.
    GetTop(usize, RpcReplyPort<Vec<(CounterName, Count)>>),
    /// Asks for the counters of one segment.
    GetPage(usize, RpcReplyPort<Vec<(CounterName, Count)>>),
    /// Starts to track changed counters. All existing counters count as changed.
    TrackChanges(RpcReplyPort<()>),
    /// Drains up to this number of changed counters.
    TakeChanges(usize, RpcReplyPort<Changed>),
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
            | ShardMessage::Remove(..)
            | ShardMessage::Flush(_)
            | ShardMessage::TakeOverflowed(_)
            | ShardMessage::GetTop(..)
            | ShardMessage::GetPage(..)
            | ShardMessage::TrackChanges(_)
            | ShardMessage::TakeChanges(..) => Err(()),
        }
    }
}

/// State of a shard, which it keeps through restarts.
#[derive(Debug, Default)]
pub struct ShardState {
    table: Table,
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
    /// Takes the table, and leaves an empty one.
    pub(crate) fn take_table(&mut self) -> Table {
        mem::take(&mut self.table)
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
        _myself: ActorRef<ShardMessage>,
        mut state: Lease<ShardState>,
    ) -> Result<Lease<ShardState>, ActorProcessingErr> {
        state.restarts += u64::from(state.started.is_some());
        if state.table.tracks_changes() {
            // An answer with changes may have been lost with the previous incarnation.
            state.table.track_changes();
        }
        state.started.get_or_insert_with(Instant::now);
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        // The caller may have given up by now, so a failed reply is no error.
        let table = &mut state.table;
        match message {
            ShardMessage::Parcel(parcel) => {
                if let Some(mut deltas) = parcel.open() {
                    table.apply_all(&mut deltas);
                }
            }
            ShardMessage::Get(key, reply) => _ = reply.send(table.get(key.borrow())),
            ShardMessage::Remove(key, reply) => _ = reply.send(table.remove(key.borrow())),
            ShardMessage::Flush(reply) => _ = reply.send(()),
            ShardMessage::TakeOverflowed(reply) => _ = reply.send(table.take_overflowed()),
            ShardMessage::GetStats(reply) => _ = reply.send(state.stats()),
            ShardMessage::GetTop(n, reply) => _ = reply.send(table.top(n)),
            ShardMessage::GetPage(segment, reply) => _ = reply.send(table.page(segment)),
            ShardMessage::TrackChanges(reply) => {
                table.track_changes();
                let _ = reply.send(());
            }
            ShardMessage::TakeChanges(most, reply) => _ = reply.send(table.take_changes(most)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod faults;
