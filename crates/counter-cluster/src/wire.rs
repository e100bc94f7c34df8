//! What nodes say to each other.

use counter_actor::Count;
use counter_protocol::CounterName;
use serde::{Deserialize, Serialize};

use crate::{Digest, ReplicaId};

/// How many bytes of entries a batch has at most; the last one in it may be longer by its name.
pub const BATCH_BYTES: usize = 64 * 1024;

/// The longest message from one node to another that is accepted, in bytes.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// What one node asks of another. Each is answered, and each may be asked again without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you?
    Identify,
    /// Keep these entries.
    Merge(Batch),
    /// Here is what I hold of some replicas: what do you hold of those where we differ?
    Compare(Comparison),
    /// What do you hold of this name?
    Read(CounterName),
    /// Answer when I have all that you held when you got this.
    Flush {
        /// Who asks.
        from: ReplicaId,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To `Identify`.
    Identity(ReplicaId),
    /// To `Merge`: kept.
    Merged,
    /// To `Compare`: the digests, bucket by bucket, of replicas where we differ.
    Differing(Vec<(ReplicaId, Vec<Digest>)>),
    /// To `Read`.
    Entries(Vec<Entry<ReplicaId>>),
    /// To `Flush`.
    Flushed,
}

/// A count, under a name or of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<K = CounterName> {
    /// What it counts.
    pub of: K,
    /// Applied increments minus applied decrements.
    pub value: i64,
    /// Applied operations.
    pub operations: u64,
}

/// Entries of any replicas, as the sender holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The sender.
    pub from: ReplicaId,
    /// Entries by replica.
    pub columns: Vec<(ReplicaId, Vec<Entry>)>,
}

/// What the sender holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The sender.
    pub from: ReplicaId,
    /// The replicas that the sender is connected to: nobody else has to tell it what they count.
    pub hears: Vec<ReplicaId>,
    /// Digests of replicas.
    pub roots: Vec<(ReplicaId, Digest)>,
}

impl<K> Entry<K> {
    pub(crate) const fn new(of: K, Count { value, operations }: Count) -> Self {
        Self { of, value, operations }
    }

    pub(crate) const fn count(&self) -> Count {
        Count { value: self.value, operations: self.operations }
    }
}

/// A message did not make sense. Is the other node of another version?
#[derive(Debug, thiserror::Error)]
#[error("read a message from another node: is it of another version?")]
pub struct BadMessage(#[source] postcard::Error);

pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("messages are made of what can be written")
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadMessage> {
    postcard::from_bytes(bytes).map_err(BadMessage)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch() -> Batch {
        let replica = |name: &str| ReplicaId { node: name.parse().unwrap(), incarnation: 1 };
        let entry = |value| Entry { of: CounterName::from_static("key-00000001"), value, operations: 1_000 };
        Batch { from: replica("a"), columns: vec![(replica("a"), vec![entry(-5), entry(i64::MAX)])] }
    }

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let request = Request::Merge(batch());
        assert_eq!(decode::<Request>(&encode(&request)).unwrap(), request);
    }

    #[test]
    fn an_entry_is_little_longer_than_its_name() {
        let of = |entries: usize| {
            let mut batch = batch();
            let first = batch.columns[0].1[0].clone();
            batch.columns[0].1 = vec![first; entries];
            encode(&batch).len()
        };
        assert_eq!(of(2) - of(1), 12 + 1 + 1 + 2);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_means_something_but_never_panics(bytes: Vec<u8>) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Reply>(&bytes);
        }
    }
}
