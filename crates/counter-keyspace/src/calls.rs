use mutations::Mutation;
use tokio::sync::oneshot;

use crate::key::Key;
use crate::operation::Operation;
use crate::round::{Outcome, SessionRecord};
use crate::sessions::{SessionRefusal, SessionRequest};

/// Maximum number of operations of one shard in a request of a session whose outcomes are kept for a retry.
pub(crate) const KEPT_OUTCOMES: usize = 64;

/// Operations on counters of one shard, in a form that costs no allocation per name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operations {
    /// Names, one after the other.
    names: Vec<u8>,
    list: Vec<Named>,
}

/// Operation with the hash of its name and the offset in `names` at which the name ends.
#[derive(Clone, Copy, Debug)]
struct Named {
    hash: u64,
    name_end: usize,
    operation: Operation,
}

/// Operations that want an answer, on their way to a shard with the folded ones of the same handle.
///
/// It knows how many of its operations have been applied, so one that returns to its outbox in a crash goes on from
/// there.
#[derive(Debug)]
pub struct Call {
    operations: Operations,
    /// Request of a session that these operations belong to.
    session: Option<SessionRequest>,
    /// Outcomes of the operations that have been applied.
    outcomes: Vec<Outcome>,
    reply: oneshot::Sender<CallReply>,
}

/// Answer to a [`Call`].
#[derive(Debug)]
pub(crate) struct CallReply {
    pub(crate) outcomes: Result<Vec<Outcome>, SessionRefusal>,
    pub(crate) version: u64,
}

/// Checksum of a request, which is the same in all versions and on all machines: FNV-1a.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprint(u64);

/// Version of a shard. Everything that was answered with this version or a smaller one of the shard is in each round
/// that [ends](crate::RoundEnd::version) with this version or a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardVersion {
    /// Index of the shard.
    pub shard: usize,
    /// Number of messages that the shard had handled and that may have changed it.
    pub version: u64,
}

/// Receipt for several operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Outcomes, in the order of the operations.
    pub outcomes: Vec<Outcome>,
    /// Versions of the shards that have applied them.
    pub versions: Vec<ShardVersion>,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Adds an operation.
    pub(crate) fn add(&mut self, name: &[u8], operation: Operation) {
        let more = operation.more_code().into_iter().flatten();
        let code = operation.code().into_iter().chain(more).chain([name.len() as u64]);
        let code = code.flat_map(u64::to_le_bytes);
        for byte in code.chain(name.iter().copied()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

impl Operations {
    /// Reserves memory for `operations` more operations, with names of `name_bytes` in all.
    pub(crate) fn reserve(&mut self, operations: usize, name_bytes: usize) {
        self.names.reserve(name_bytes);
        self.list.reserve(operations);
    }

    pub(crate) fn push(&mut self, key: Key<'_>, operation: Operation) {
        self.names.extend_from_slice(key.name);
        self.list.push(Named { hash: key.hash, name_end: self.names.len(), operation });
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the operation with this index.
    pub(crate) fn get(&self, index: usize) -> Option<(Key<'_>, Operation)> {
        let Named { hash, name_end, operation } = *self.list.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.list[before].name_end);
        Some((Key::within(hash, &self.names[start..], name_end - start), operation))
    }

    fn are_questions(&self) -> bool {
        self.list.iter().all(|named| named.operation.is_question())
    }
}

impl Call {
    pub(crate) fn new(
        operations: Operations,
        session: Option<SessionRequest>,
        reply: oneshot::Sender<CallReply>,
    ) -> Self {
        // Reserved ahead, so that nothing can fail between an operation and the record of its outcome.
        let outcomes = Vec::with_capacity(operations.len());
        Self { operations, session, outcomes, reply }
    }

    /// Applies the next operation, if there is one.
    pub(crate) fn apply_next(&mut self, apply: impl FnOnce(Key<'_>, Operation) -> Outcome) {
        if let Some((key, operation)) = self.operations.get(self.outcomes.len()) {
            self.outcomes.push(apply(key, operation));
        }
    }

    /// Applies the next operation, if there is one, and records that in the same step. What the record says to be done
    /// is not done again: its outcomes are those that are recorded.
    pub(crate) fn apply_next_in_session(
        &mut self,
        record: &mut SessionRecord,
        apply: impl FnOnce(Key<'_>, Operation) -> Outcome,
    ) {
        for done in self.outcomes.len()..record.done as usize {
            self.outcomes.push(record.outcomes.get(done).copied().unwrap_or(Outcome::Applied));
        }
        let before = self.outcomes.len();
        self.apply_next(apply);
        let keeps = self.operations.len() <= KEPT_OUTCOMES;
        for outcome in &self.outcomes[before..] {
            record.done += u32::from(
                !Mutation::SessionAfterCounts.is_planted() || self.operations.len() == self.outcomes.len(),
            );
            if keeps {
                record.outcomes.push(*outcome);
            }
        }
    }

    /// Sends the outcomes, or why there are none, to the caller, who may have given up.
    pub(crate) fn answer(self, refused: Result<(), SessionRefusal>, version: u64) {
        let _ = self.reply.send(CallReply { outcomes: refused.map(|()| self.outcomes), version });
    }

    /// Returns the request of a session that this belongs to.
    pub(crate) const fn session(&self) -> Option<SessionRequest> {
        self.session
    }

    /// Returns the hashes of the names of up to `most` operations that are to be applied next.
    pub(crate) fn upcoming(&self, most: usize) -> impl Iterator<Item = u64> {
        self.operations.list[self.outcomes.len()..].iter().take(most).map(|named| named.hash)
    }

    /// Returns the number of operations that have been applied.
    pub(crate) const fn applied(&self) -> usize {
        self.outcomes.len()
    }

    /// Returns the number of operations that are to be applied.
    pub(crate) const fn left(&self) -> usize {
        self.operations.len() - self.outcomes.len()
    }

    /// Returns the number of operations and the length of their names.
    pub(crate) const fn size(&self) -> (usize, usize) {
        (self.operations.len(), self.operations.names.len())
    }

    /// Returns true if the call changes nothing.
    pub(crate) fn is_question(&self) -> bool {
        self.session.is_none() && self.operations.are_questions()
    }
}
