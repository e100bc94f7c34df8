use counter_protocol::AggregatorMessage;
use ractor::Message;
use ractor_outbox::{Fifo, Parcel};

use crate::member::Answer;

/// Message in an aggregator's mailbox, from others or from the aggregator itself.
#[derive(Debug)]
pub struct AggregatorInput(pub(crate) Input);

#[derive(Debug)]
pub(crate) enum Input {
    /// A message that was cast directly.
    Message(AggregatorMessage),
    /// Messages that wait in a sender's outbox.
    Parcel(Parcel<Fifo<AggregatorMessage>>),
    /// The running collection has ended, with an answer for each member that was asked.
    CollectionEnded(Vec<Answer>),
}

impl Message for AggregatorInput {}

impl From<AggregatorMessage> for AggregatorInput {
    fn from(message: AggregatorMessage) -> Self {
        Self(Input::Message(message))
    }
}

impl From<Parcel<Fifo<AggregatorMessage>>> for AggregatorInput {
    fn from(parcel: Parcel<Fifo<AggregatorMessage>>) -> Self {
        Self(Input::Parcel(parcel))
    }
}
