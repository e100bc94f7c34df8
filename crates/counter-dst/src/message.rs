use std::fmt;
use std::hash::Hasher;

use counter_cluster::{Batch, Entry, ReplicaId, Reply, Request};
use counter_protocol::CounterName;
use siphasher::sip::SipHasher13;

/// Length from which a message counts as large, in bytes.
const LARGE_BYTES: usize = 1024;

/// Message between nodes, which the simulation understands.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Request(Request),
    Reply(Reply),
    Unknown,
}

/// A replica's entry of a name, as one node tells it another.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) replica: ReplicaId,
    pub(crate) name: CounterName,
    pub(crate) value: i64,
    pub(crate) operations: u64,
}

impl Message {
    pub(crate) fn request(bytes: Vec<u8>) -> Self {
        let content = postcard::from_bytes(&bytes).map_or(Content::Unknown, Content::Request);
        Self { bytes, content }
    }

    pub(crate) fn reply(bytes: Vec<u8>) -> Self {
        let content = postcard::from_bytes(&bytes).map_or(Content::Unknown, Content::Reply);
        Self { bytes, content }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) const fn is_large(&self) -> bool {
        self.bytes.len() >= LARGE_BYTES
    }

    pub(crate) const fn is_batch(&self) -> bool {
        matches!(self.content, Content::Request(Request::Merge(_)))
    }

    /// Returns all entries in a message. A reply has those of the name that was asked for, or corrections of the node
    /// that has answered.
    pub(crate) fn entries(&self, asked: Option<&Self>, answering: Option<&ReplicaId>) -> Vec<Seen> {
        let entry = |replica: &ReplicaId, name: &CounterName, value, operations| Seen {
            replica: replica.clone(),
            name: name.clone(),
            value,
            operations,
        };
        match &self.content {
            Content::Request(Request::Merge(Batch { columns, .. })) => {
                let all =
                    columns.iter().flat_map(|(replica, entries)| entries.iter().map(move |e| (replica, e)));
                all.map(|(replica, Entry { of, value, operations })| entry(replica, of, *value, *operations))
                    .collect()
            }
            Content::Reply(Reply::Entries(entries)) => {
                let Some(Content::Request(Request::Read { name, .. })) = asked.map(|asked| &asked.content)
                else {
                    return Vec::new();
                };
                entries
                    .iter()
                    .map(|Entry { of, value, operations }| entry(of, name, *value, *operations))
                    .collect()
            }
            Content::Reply(Reply::Merged(corrections)) => {
                let Some(replica) = answering else { return Vec::new() };
                corrections
                    .iter()
                    .map(|Entry { of, value, operations }| entry(replica, of, *value, *operations))
                    .collect()
            }
            Content::Request(_) | Content::Reply(_) | Content::Unknown => Vec::new(),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.content {
            Content::Request(Request::Identify { .. }) => "Identify",
            Content::Request(Request::Merge(_)) => "Merge",
            Content::Request(Request::Compare(_)) => "Compare",
            Content::Request(Request::Examine(_)) => "Examine",
            Content::Request(Request::Read { .. }) => "Read",
            Content::Request(Request::Flush { .. }) => "Flush",
            Content::Request(Request::Commit { .. }) => "Commit",
            Content::Reply(Reply::Identity(_)) => "Identity",
            Content::Reply(Reply::Merged(_)) => "Merged",
            Content::Reply(Reply::Differing(_)) => "Differing",
            Content::Reply(Reply::Examined(_)) => "Examined",
            Content::Reply(Reply::Entries(_)) => "Entries",
            Content::Reply(Reply::Flushed) => "Flushed",
            Content::Reply(Reply::Committed) => "Committed",
            Content::Unknown => "?",
        };
        let mut hasher = SipHasher13::new();
        hasher.write(&self.bytes);
        write!(f, "{kind} {} bytes {:08x}", self.bytes.len(), hasher.finish() >> 32)?;
        if let Content::Request(Request::Merge(batch)) = &self.content {
            for (replica, entries) in &batch.columns {
                write!(f, " {replica}:")?;
                entries
                    .iter()
                    .try_for_each(|entry| write!(f, " {}={}/{}", entry.of, entry.value, entry.operations))?;
            }
        }
        Ok(())
    }
}
