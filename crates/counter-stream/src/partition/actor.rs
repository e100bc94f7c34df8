use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use ractor_supervision::Lease;
use tokio::sync::watch;

use crate::record::Position;

use super::message::{PartitionMessage, Question};
use super::state::{PartitionState, PartitionStatus};

/// Actor of one partition. Owner or not, it is the same: only where its changes come from differs.
#[derive(Clone, Debug)]
pub(super) struct PartitionActor {
    pub(super) id: Arc<str>,
    pub(super) status: watch::Sender<PartitionStatus>,
    pub(super) committed: watch::Sender<Position>,
}

impl Actor for PartitionActor {
    type Msg = PartitionMessage;
    type State = Lease<PartitionState>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        state: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
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
                    state.count(record);
                }
            }
            PartitionMessage::Confirm(own) => state.confirm(own),
            PartitionMessage::Question(question) => self.answer(question, state),
        }
        self.publish(state);
        Ok(())
    }
}

impl PartitionActor {
    fn answer(&self, question: Question, state: &mut PartitionState) {
        match question {
            Question::Take(is_complete, reply) => _ = reply.send(state.take(is_complete).map(Arc::new)),
            Question::GetStored(from, most, reply) => _ = reply.send(state.table.page(from, most)),
            Question::GetCut(offset, reply) => _ = reply.send(state.cut_from(offset)),
            Question::Apply(cut, reply) => {
                state.apply(&cut, self.status.borrow().is_owned);
                // Whoever is answered finds what the answer says.
                self.publish(state);
                let _ = reply.send(state.standing());
            }
            Question::GetStanding(reply) => {
                self.publish(state);
                let _ = reply.send(state.standing());
            }
            Question::GetValues(names, reply) => {
                let _ = reply.send(names.iter().map(|name| state.table.get(name)).collect());
            }
            Question::GetCounters(from, most, reply) => {
                let mut counters = state.table.counters_from(from);
                let page =
                    counters.by_ref().take(most).map(|(_, name, total)| (name.into(), total)).collect();
                let next = counters.next().map(|(index, ..)| index);
                let _ = reply.send((page, next));
            }
        }
    }

    fn publish(&self, state: &PartitionState) {
        self.status.send_if_modified(|status| {
            let now = state.status(status);
            if let (Some(fork), None) = (now.fork, status.fork) {
                tracing::error!(partition = %self.id, %fork, "partition has stopped");
            }
            let has_changed = now != *status;
            *status = now;
            has_changed
        });
        let now = state.committed();
        self.committed.send_if_modified(|committed| std::mem::replace(committed, now) != now);
    }
}
