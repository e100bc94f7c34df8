//! Messages between nodes, and their encoding.

use counter_protocol::{Count, CounterName};
use ractor_transport::MAX_NODE_NAME_BYTES;
use serde::{Deserialize, Serialize};

use crate::ledger::{BUCKETS, Digest, Digests, PartDigests, Parts};
use crate::replica::ReplicaId;

/// Length of a batch at which no further entry is added, in bytes. The last entry may exceed it.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Maximum length of a message from another node, in bytes.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// Maximum length of an entry beside its name, in bytes: two numbers of 10 bytes each, and a length of 3.
pub(crate) const ENTRY_BYTES: usize = 10 + 10 + 3;

/// Maximum length of a replica, in bytes: the length of its node's name, the name, and a number.
pub(crate) const REPLICA_BYTES: usize = 1 + MAX_NODE_NAME_BYTES + 10;

/// Maximum length of a column of a batch beside its entries, in bytes: the replica, and the number of entries.
pub(crate) const COLUMN_BYTES: usize = REPLICA_BYTES + 5;

/// Maximum number of replicas in a comparison, or in an answer to it.
pub(crate) const ROOTS_AT_ONCE: usize = 4096;

/// Maximum number of connected replicas that a comparison names. To a node with more, entries of the others are
/// relayed, too.
pub(crate) const DIRECT_PEERS_AT_ONCE: usize = 4096;

/// Maximum number of digests by bucket in an answer to a comparison. The rest follows with the next comparison.
pub(crate) const DIGESTS_AT_ONCE: usize = 32 * 1024;

/// Maximum number of parts in an examination, whose answer is then as long as a batch.
pub(crate) const PARTS_AT_ONCE: usize = BATCH_BYTES / size_of::<PartDigests>();

/// Maximum number of entries in an answer to a read.
///
/// Of more, those of the latest replicas are sent: the others have not changed for as long, and are known from
/// comparisons.
pub(crate) const ENTRIES_AT_ONCE: usize = 4096;

/// Length reserved for the framing of a message by this crate and `ractor_cluster`, in bytes.
const ENVELOPE_BYTES: usize = 4096;

const _: () = {
    let longest_entry = COLUMN_BYTES + ENTRY_BYTES + CounterName::MAX_BYTES;
    let comparison = ROOTS_AT_ONCE * (REPLICA_BYTES + 10) + DIRECT_PEERS_AT_ONCE * REPLICA_BYTES;
    // Also an answer to a batch, which corrects all of its entries at most.
    assert!(BATCH_BYTES + longest_entry + ENVELOPE_BYTES < MAX_FRAME_BYTES);
    assert!(CounterName::MAX_BYTES + ENVELOPE_BYTES < MAX_FRAME_BYTES);
    assert!(comparison + ENVELOPE_BYTES < MAX_FRAME_BYTES);
    let differing = ROOTS_AT_ONCE * (REPLICA_BYTES + 2) + DIGESTS_AT_ONCE * (2 + 10);
    assert!(differing + ENVELOPE_BYTES < MAX_FRAME_BYTES);
    // The first replica of an answer always fits.
    assert!(BUCKETS <= DIGESTS_AT_ONCE);
    assert!(ENTRIES_AT_ONCE * (REPLICA_BYTES + ENTRY_BYTES) + ENVELOPE_BYTES < MAX_FRAME_BYTES);
    // A path takes 5 bytes at most.
    assert!(2 * REPLICA_BYTES + PARTS_AT_ONCE * 5 + ENVELOPE_BYTES < MAX_FRAME_BYTES);
    assert!(PARTS_AT_ONCE * size_of::<PartDigests>() + ENVELOPE_BYTES < MAX_FRAME_BYTES);
};

/// A request of one node to another. Each has a reply, and each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Returns the replica of the node.
    Identify {
        /// The sender.
        from: ReplicaId,
        /// Its store, if it has one.
        store: Option<[u8; 16]>,
    },
    /// Merges these entries.
    Merge(Batch),
    /// Returns the digests of those replicas that differ.
    Compare(Comparison),
    /// Returns the digests of the divisions of parts that differ.
    Examine(Examination),
    /// Returns the entries of a name.
    Read {
        /// The sender.
        from: ReplicaId,
        /// The name.
        name: CounterName,
    },
    /// Replies when the sender has acknowledged everything that the node held when the request arrived.
    Flush {
        /// The sender.
        from: ReplicaId,
    },
    /// Replies when everything is durable that the node has merged, or at once if it has no store.
    Commit {
        /// The sender.
        from: ReplicaId,
    },
}

impl Request {
    /// Returns the replica that the sender claims to be.
    #[must_use]
    pub const fn from(&self) -> &ReplicaId {
        match self {
            Self::Merge(Batch { from, .. })
            | Self::Compare(Comparison { from, .. })
            | Self::Examine(Examination { from, .. })
            | Self::Identify { from, .. }
            | Self::Read { from, .. }
            | Self::Flush { from }
            | Self::Commit { from } => from,
        }
    }
}

/// The reply to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Reply to [`Request::Identify`].
    Identity(Identity),
    /// Reply to [`Request::Merge`]: the entries are merged. It has the answering node's own counts where the batch
    /// claims more.
    Merged(Vec<Entry>),
    /// Reply to [`Request::Compare`].
    Differing(Differing),
    /// Reply to [`Request::Examine`], for each part in the order of the request.
    Examined(Vec<PartDigests>),
    /// Reply to [`Request::Read`].
    Entries(Vec<Entry<ReplicaId>>),
    /// Reply to [`Request::Flush`].
    Flushed,
    /// Reply to [`Request::Commit`].
    Committed,
}

/// Identity of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its replica.
    pub replica: ReplicaId,
    /// Its store, if it has one.
    pub store: Option<StoreIdentity>,
}

/// Identity of a node's store, as it tells another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreIdentity {
    /// Identity of the store.
    pub store: [u8; 16],
    /// It has durably recorded the asker's store.
    pub lists_asker: bool,
    /// It knows that the asker's store has recorded it.
    pub listed_by_asker: bool,
}

/// Differences between the answering node and a [`Comparison`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// Number of roots that were examined, from the first on. More would not have fitted into one answer.
    pub examined: u32,
    /// Digests, bucket by bucket, of those replicas among them that differ.
    pub replicas: Vec<(ReplicaId, Digests)>,
}

/// A count of a name, or of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<K = CounterName> {
    /// Name or replica.
    pub of: K,
    /// Applied increments minus applied decrements.
    pub value: i64,
    /// Applied operations.
    pub operations: u64,
}

/// Entries of any replicas, with the values that the sender holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The sender.
    pub from: ReplicaId,
    /// Entries by replica.
    pub columns: Vec<(ReplicaId, Vec<Entry>)>,
}

/// Digests of the replicas that the sender holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The sender.
    pub from: ReplicaId,
    /// Replicas that the sender is connected to, whose entries nobody else has to relay to it.
    pub direct_peers: Vec<ReplicaId>,
    /// Digest of each replica.
    pub roots: Vec<(ReplicaId, Digest)>,
}

/// Parts of a replica's entries that differ between the sender and the answering node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// The sender.
    pub from: ReplicaId,
    /// The replica.
    pub replica: ReplicaId,
    /// The parts, of whose divisions the digests are asked for.
    pub parts: Parts,
}

impl<K> Entry<K> {
    pub(crate) const fn new(of: K, Count { value, operations }: Count) -> Self {
        Self { of, value, operations }
    }

    pub(crate) const fn count(&self) -> Count {
        Count { value: self.value, operations: self.operations }
    }
}

/// Error of decoding a message, such as one from a node of another version.
#[derive(Debug, thiserror::Error)]
#[error("malformed message from another node: is it of another version?")]
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
    fn nothing_is_longer_than_the_bound_of_its_length() {
        let node: ractor_transport::NodeName = "n".repeat(MAX_NODE_NAME_BYTES).parse().unwrap();
        let id = ReplicaId { node, incarnation: u64::MAX };
        assert_eq!(encode(&id).len(), REPLICA_BYTES);
        let name = CounterName::new(vec![255; CounterName::MAX_BYTES]).unwrap();
        let entry = Entry { of: name, value: i64::MIN, operations: u64::MAX };
        assert_eq!(encode(&entry).len(), ENTRY_BYTES + CounterName::MAX_BYTES);
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
