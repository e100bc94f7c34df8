//! The actor that counts one partition, and the handle through which a member feeds it.

use std::num::NonZeroUsize;

use anyhow::Result;
use counter_keyspace::{KeyspaceError, KeyspaceHandle};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{Fifo, Outbox, Parcel};
use ractor_supervision::{Lease, SupervisedActor, SupervisorHandle};

use crate::progress::{Progress, Record};

/// Maximum number of records that wait for an actor. Beyond it, the member waits and does not poll, and librdkafka
/// fetches no more.
const RECORDS_WAITING: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

enum PartitionMessage {
    Records(Parcel<Fifo<Record>>),
    GetCommittable(RpcReplyPort<Option<i64>>),
}

impl Message for PartitionMessage {}
impl From<Parcel<Fifo<Record>>> for PartitionMessage {
    fn from(parcel: Parcel<Fifo<Record>>) -> Self {
        Self::Records(parcel)
    }
}

/// State that a successor of the actor continues with. It includes the handle, because only a question through the
/// same handle is answered after all operations sent before.
struct PartitionState {
    progress: Progress,
    keyspace: KeyspaceHandle,
}

impl PartitionState {
    /// Counts the record in hand. Nothing is awaited between the keyspace's acceptance and `hand_over`, so no kill
    /// comes between them.
    async fn count_in_hand(&mut self) -> Result<(), KeyspaceError> {
        if let Some(record) = &self.progress.in_hand {
            self.keyspace.increment(&record.key, 1).await?;
            self.progress.hand_over();
        }
        Ok(())
    }
}

struct PartitionActor;

impl Actor for PartitionActor {
    type Msg = PartitionMessage;
    type State = Lease<PartitionState>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        mut state: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        // The record that the previous incarnation had in hand.
        state.count_in_hand().await?;
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PartitionMessage::Records(parcel) => {
                let Some(mut records) = parcel.open() else { return Ok(()) };
                while let Some(record) = records.pop() {
                    state.progress.in_hand = Some(record);
                    state.count_in_hand().await?;
                }
            }
            PartitionMessage::GetCommittable(reply) => {
                // The answer itself does not matter: all operations sent before are applied by then.
                state.keyspace.flush().await?;
                state.progress.settle();
                let _ = reply.send(state.progress.committable());
            }
        }
        Ok(())
    }
}

/// Handle on a partition that is assigned to a member.
pub(crate) struct Partition(Outbox<Fifo<Record>, PartitionMessage>);

impl Partition {
    pub(crate) async fn start(
        name: String,
        keyspace: KeyspaceHandle,
        parent: &SupervisorHandle,
    ) -> Result<Self> {
        let state = PartitionState { progress: Progress::default(), keyspace };
        let records = Fifo::bounded(RECORDS_WAITING);
        let partition = SupervisedActor::new(name, || PartitionActor, state, records);
        let outbox = partition.outbox();
        parent.start_child(partition.into()).await?;
        Ok(Self(outbox))
    }

    /// Sends a record to the actor. Waits while too many records are pending.
    pub(crate) async fn send(&self, record: Record) -> Result<()> {
        Ok(self.0.send(record).await?)
    }

    /// Returns the offset to commit once all records sent before are applied; `None` if none was.
    pub(crate) async fn committable(&self) -> Result<Option<i64>> {
        Ok(self.0.call(PartitionMessage::GetCommittable).await?)
    }
}

#[cfg(test)]
mod tests {
    use counter_keyspace::{Keyspace, KeyspaceOptions};
    use ractor_supervision::Options;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_actor_that_is_killed_again_and_again_counts_each_record_once() {
        const RECORDS: i64 = 2_000;
        // Room for one name, so that an actor mostly waits for the keyspace with a record in hand.
        let options = KeyspaceOptions { max_pending_names: NonZeroUsize::MIN, ..KeyspaceOptions::default() };
        let keyspace = Keyspace::start(options).await.unwrap();
        let supervisor = SupervisorHandle::start(Options::default(), vec![]).await.unwrap();
        let partition = Partition::start("0".into(), keyspace.handle(), &supervisor).await.unwrap();
        for offset in 0..RECORDS {
            partition.send(Record { offset, key: offset.to_string().into() }).await.unwrap();
            if offset % 400 == 399 {
                partition.0.actor().unwrap().kill();
            }
        }
        assert_eq!(partition.committable().await.unwrap(), Some(RECORDS));
        let stats = keyspace.handle().stats().await.unwrap();
        assert_eq!((stats.num_counters, stats.total_operations), (2_000, 2_000));
        assert_eq!(supervisor.children().await.unwrap()[0].restarts, 5);
        supervisor.shutdown().await;
        keyspace.shutdown().await;
    }
}
