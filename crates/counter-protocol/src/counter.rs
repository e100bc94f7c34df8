use ractor::{Message, RpcReplyPort};
use ractor_outbox::Parcel;
use serde::{Deserialize, Serialize};

use crate::{CounterStats, Delta};

/// What a counter actor understands.
///
/// Increments and decrements are fire and forget: the counter applies each exactly once, or refuses it whole if
/// it would leave the range of `i64` and counts it under
/// [`rejected_operations`](CounterStats::rejected_operations). As plain messages they are lost with the mailbox if the
/// counter dies; what waits in an outbox is not. Queries carry the port for their reply; they are
/// handled in order with the operations, so a sender sees its own writes.
///
/// With `serde`, operations can be logged and replayed; a query is an error to serialize, since it means nothing
/// without its reply port.
#[derive(Debug, Serialize, Deserialize)]
pub enum CounterMessage {
    /// Adds `amount`, which may be negative.
    Increment {
        /// How much to add.
        amount: i64,
    },
    /// Subtracts `amount`, which may be negative (`i64::MIN` included).
    Decrement {
        /// How much to subtract.
        amount: i64,
    },
    /// Applies what waits in a sender's outbox, as one operation: if the sum of what was folded there would leave the
    /// range, all of it is refused together.
    #[serde(skip)]
    Parcel(Parcel<Delta>),
    /// Asks for the current value.
    #[serde(skip)]
    GetValue(RpcReplyPort<i64>),
    /// Asks for the statistics.
    #[serde(skip)]
    GetStats(RpcReplyPort<CounterStats>),
}

impl Message for CounterMessage {}

impl From<Parcel<Delta>> for CounterMessage {
    fn from(parcel: Parcel<Delta>) -> Self {
        Self::Parcel(parcel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_survives_being_written_down() {
        let json = serde_json::to_string(&CounterMessage::Decrement { amount: i64::MIN }).unwrap();
        assert_eq!(json, r#"{"Decrement":{"amount":-9223372036854775808}}"#);
        let read = serde_json::from_str(&json).unwrap();
        assert!(matches!(read, CounterMessage::Decrement { amount: i64::MIN }));
    }

    #[test]
    fn a_query_cannot_be_written_down_without_its_reply_port() {
        let (port, _reply) = ractor::concurrency::oneshot();
        assert!(serde_json::to_string(&CounterMessage::GetValue(port.into())).is_err());
        assert!(serde_json::from_str::<CounterMessage>(r#""GetValue""#).is_err());
    }
}
