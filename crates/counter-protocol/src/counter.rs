use ractor::{Message, RpcReplyPort};
use ractor_outbox::Parcel;
use serde::{Deserialize, Serialize};

use crate::delta::Delta;
use crate::stats::CounterStats;

/// Message to a counter actor.
///
/// Increments and decrements have no reply. The counter applies each exactly once, or refuses it whole if it would
/// leave the range of `i64` and counts it under [`rejected_operations`](CounterStats::rejected_operations).
/// Operations sent as plain messages are lost with the mailbox if the counter dies; operations in an outbox are not.
/// Queries carry the port for their reply. They are handled in order with the operations, so a sender sees its own
/// writes.
///
/// With `serde`, operations can be logged and replayed. Serializing a query is an error, since it means nothing
/// without its reply port.
#[derive(Debug, Serialize, Deserialize)]
pub enum CounterMessage {
    /// Adds `amount`, which may be negative.
    Increment {
        /// Amount to add.
        amount: i64,
    },
    /// Subtracts `amount`, which may be negative (`i64::MIN` included).
    Decrement {
        /// Amount to subtract.
        amount: i64,
    },
    /// Applies the contents of a sender's outbox, as one operation. If their sum would leave the range, all of them
    /// are refused together.
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
