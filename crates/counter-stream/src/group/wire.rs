//! Messages between members.

use serde::{Deserialize, Serialize};

use crate::cut::{Changes, Cut, ENTRY_BYTES};
use crate::partition::Standing;
use crate::record::{PartitionId, Position};
use crate::table::{Digest, Tallies};

/// Length at which a chunk of a cut is full, in bytes.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// Maximum length of a frame between members, in bytes: a full chunk, its last name, and what is around it.
pub(crate) const MAX_FRAME_BYTES: usize = CHUNK_BYTES + MAX_NAME_BYTES + ENTRY_BYTES + 64 * 1024;
const MAX_NAME_BYTES: usize = counter_protocol::CounterName::MAX_BYTES;

/// Greatest offset of Kafka.
const MAX_OFFSET: u64 = i64::MAX.cast_unsigned();

/// Request of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Asks where a partition stands.
    Ask(PartitionId),
    /// Sends part of a cut.
    Chunk(Box<Chunk>),
}

/// Part of a cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) partition: PartitionId,
    pub(super) head: CutHead,
    /// Number of the chunk in its cut, from 0.
    pub(super) index: u32,
    pub(super) is_last: bool,
    pub(super) changes: Changes,
}

/// A cut without its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CutHead {
    pub(super) from: u64,
    pub(super) digest_from: Option<Digest>,
    pub(super) to: Position,
    pub(super) digest: Digest,
    pub(super) tallies: Tallies,
}

/// Reply to a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Where the partition stands. After the last chunk of a cut, it is durable there.
    Standing(Standing),
    /// The chunk has arrived. The next one may follow.
    Next,
}

impl CutHead {
    pub(super) fn of(cut: &Cut) -> Self {
        let Cut { from, digest_from, to, digest, tallies, .. } = *cut;
        Self { from, digest_from, to, digest, tallies }
    }

    pub(super) fn with(self, changes: Changes) -> Cut {
        let Self { from, digest_from, to, digest, tallies } = self;
        Cut { from, digest_from, to, digest, tallies, changes }
    }
}

impl Request {
    /// Returns false if no honest member can have meant it.
    fn is_well_formed(&self) -> bool {
        match self {
            Self::Ask(_) => true,
            Self::Chunk(chunk) => chunk.head.to.offset <= MAX_OFFSET && chunk.changes.is_well_formed(),
        }
    }
}

pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("messages are made of what can be written")
}

/// Returns a request; `None` if it is malformed, perhaps from a member of another version.
pub(super) fn decode_request(bytes: &[u8]) -> Option<Request> {
    postcard::from_bytes(bytes).ok().filter(Request::is_well_formed)
}

/// Returns a reply; `None` if it is malformed.
pub(super) fn decode_reply(bytes: &[u8]) -> Option<Reply> {
    postcard::from_bytes(bytes).ok()
}

/// Returns the chunks of a cut.
pub(super) fn chunks<'a>(partition: &'a PartitionId, cut: &'a Cut) -> impl Iterator<Item = Chunk> + 'a {
    let head = CutHead::of(cut);
    let mut pieces = cut.changes.pieces(CHUNK_BYTES).peekable();
    (0..).map_while(move |index| {
        let changes = pieces.next()?;
        let is_last = pieces.peek().is_none();
        Some(Chunk { partition: partition.clone(), head, index, is_last, changes })
    })
}
