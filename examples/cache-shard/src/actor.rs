use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{Fifo, Parcel};
use ractor_supervision::Lease;
use tokio::time::Instant;

use crate::shard::{Entry, Key, Shard, Stats, Value};

pub(crate) type Insertions = Fifo<(Key, Entry)>;

/// The actor around a [`Shard`], which it leases: when the actor crashes, its successor continues with the shard.
pub(crate) struct ShardActor;

#[derive(Debug, derive_more::From)]
pub(crate) enum ShardMessage {
    #[from]
    Insert(Parcel<Insertions>),
    Get(Key, RpcReplyPort<Option<Value>>),
    Remove(Key, RpcReplyPort<Option<Value>>),
    GetStats(RpcReplyPort<Stats>),
}

impl Message for ShardMessage {}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = Lease<Shard>;
    type Arguments = Lease<Shard>;

    async fn pre_start(
        &self,
        _myself: ActorRef<ShardMessage>,
        shard: Lease<Shard>,
    ) -> Result<Lease<Shard>, ActorProcessingErr> {
        Ok(shard)
    }

    async fn handle(
        &self,
        _myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        shard: &mut Lease<Shard>,
    ) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        // The caller may have given up by now, so a failed reply is no error.
        match message {
            ShardMessage::Insert(parcel) => {
                let Some(mut insertions) = parcel.open() else { return Ok(()) };
                while let Some((key, entry)) = insertions.pop() {
                    shard.insert(key, entry, now);
                }
            }
            ShardMessage::Get(key, reply) => _ = reply.send(shard.get(&key, now)),
            ShardMessage::Remove(key, reply) => _ = reply.send(shard.remove(&key, now)),
            ShardMessage::GetStats(reply) => _ = reply.send(shard.stats()),
        }
        Ok(())
    }
}
