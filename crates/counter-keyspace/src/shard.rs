use counter_actor::Count;
use counter_protocol::{AggregatedStats, CounterName, Rate};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::Parcel;
use ractor_supervision::Lease;
use tokio::time::Instant;

use crate::{Deltas, OwnedKey, Table};

/// The actor around a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct ShardActor;

/// What a shard understands.
#[derive(Debug)]
pub enum ShardMessage {
    /// Applies what waits in a handle's outbox.
    Parcel(Parcel<Deltas>),
    /// Asks for a counter.
    Get(OwnedKey, RpcReplyPort<Option<Count>>),
    /// Takes a counter out.
    Remove(OwnedKey, RpcReplyPort<Option<Count>>),
    /// Asks for the statistics of all counters together.
    GetStats(RpcReplyPort<AggregatedStats>),
    /// Asks for the counters with the largest values.
    GetTop(usize, RpcReplyPort<Vec<(CounterName, Count)>>),
    /// Asks for the counters of one segment.
    GetPage(usize, RpcReplyPort<Vec<(CounterName, Count)>>),
}

impl Message for ShardMessage {}

impl From<Parcel<Deltas>> for ShardMessage {
    fn from(parcel: Parcel<Deltas>) -> Self {
        Self::Parcel(parcel)
    }
}

/// What a shard starts from.
#[derive(Debug)]
pub struct ShardArguments {
    /// Its table, on loan from where its next incarnation will find it.
    pub life: Lease<ShardLife>,
}

/// What a shard takes along through restarts.
#[derive(Debug, Default)]
pub struct ShardLife {
    table: Table,
    restarts: u64,
    /// When its first incarnation started.
    started: Option<Instant>,
    /// The operations and the time at which statistics were last asked for.
    last_asked: Option<(u128, Instant)>,
    recent: Rate,
}

/// A running shard.
#[derive(Debug)]
pub struct ShardState {
    life: Lease<ShardLife>,
    started: Instant,
}

impl ShardState {
    fn stats(&mut self) -> AggregatedStats {
        let (now, life) = (Instant::now(), &mut *self.life);
        let rate =
            |operations: u128, since| Rate::of(u64::try_from(operations).unwrap_or(u64::MAX), now - since);
        let operations = life.table.total_operations();
        match life.last_asked {
            // Several who ask at once see the same.
            Some((_, then)) if then == now => {}
            last => {
                let recent = last.map(|(then, since)| rate(operations.saturating_sub(then), since));
                life.recent = recent.unwrap_or(Rate::ZERO);
                life.last_asked = Some((operations, now));
            }
        }
        AggregatedStats {
            total_value: life.table.total_value(),
            total_operations: operations,
            refused_operations: life.table.refused_operations(),
            restarts: life.restarts.into(),
            num_counters: life.table.len() as u64,
            operations_per_second: rate(operations, self.started),
            recent_operations_per_second: life.recent,
            ..AggregatedStats::default()
        }
    }
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = ShardArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<ShardMessage>,
        ShardArguments { mut life }: ShardArguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        life.restarts += u64::from(life.started.is_some());
        let started = *life.started.get_or_insert_with(Instant::now);
        Ok(ShardState { life, started })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        // A reply that nobody waits for any more is not an error.
        let table = &mut state.life.table;
        match message {
            ShardMessage::Parcel(parcel) => {
                let Some(mut deltas) = parcel.open() else { return Ok(()) };
                while deltas.pop(|key, delta| table.apply(key, delta)) {}
            }
            ShardMessage::Get(key, reply) => _ = reply.send(table.get(key.borrow())),
            ShardMessage::Remove(key, reply) => _ = reply.send(table.remove(key.borrow())),
            ShardMessage::GetStats(reply) => _ = reply.send(state.stats()),
            ShardMessage::GetTop(n, reply) => _ = reply.send(table.top(n)),
            ShardMessage::GetPage(segment, reply) => _ = reply.send(table.page(segment)),
        }
        Ok(())
    }
}
