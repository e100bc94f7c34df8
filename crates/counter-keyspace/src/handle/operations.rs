//! Operations with outcomes of their own.

use std::{mem, vec};

use counter_protocol::Count;
use tokio::sync::oneshot;

use super::{KeyspaceError, KeyspaceHandle};
use crate::calls::{Applied, Call, CallReply, Fingerprint, Operations, ShardVersion};
use crate::deltas::Change;
use crate::operation::Operation;
use crate::round::{Outcome, SessionId};
use crate::sessions::{SessionRefusal, SessionRequest};
use crate::shard::ShardMessage;

/// Length of names that memory is reserved for ahead, in bytes, in a request of many operations.
const RESERVED_NAME_BYTES: usize = 4096;

/// Error of [`KeyspaceHandle::apply_in_session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is no answer: the request, or a part of it, may have been applied or not. Send it again.
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    /// The session has ended. Whether the request was applied is unknown.
    #[error("session has expired, outcome unknown")]
    Expired,
    /// The session has sent a request with a greater sequence number. Whether this one was applied is unknown.
    #[error("request is superseded by a later one of its session, outcome unknown")]
    Superseded,
    /// The session has sent another request with this sequence number. This one has not been applied.
    #[error("sequence number of the session belongs to another request")]
    OtherRequest,
}

impl From<SessionRefusal> for SessionError {
    fn from(refusal: SessionRefusal) -> Self {
        match refusal {
            SessionRefusal::Expired => Self::Expired,
            SessionRefusal::Superseded => Self::Superseded,
            SessionRefusal::OtherRequest => Self::OtherRequest,
        }
    }
}

/// Request split by shard.
struct Parts {
    by_shard: Vec<Operations>,
    /// Shard of each operation, in their order.
    shards: Vec<usize>,
}

impl KeyspaceHandle {
    /// Adds `amount`, which may be negative, and returns the value right after this very operation, which no other
    /// operation has led to, or the rejection. Comes after everything that was sent through this handle before, and is
    /// applied once, whatever happens to the shard. A future that is dropped may have added the amount or not.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`: the amount has not been added.
    pub async fn add_and_get(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<Outcome, KeyspaceError> {
        Ok(self.operate(name, Operation::Add(amount)).await?.0)
    }

    /// Removes a counter, and returns its last value and number of operations.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`: the counter has not been removed.
    pub async fn remove(&self, name: impl AsRef<[u8]>) -> Result<Option<Count>, KeyspaceError> {
        match self.operate(name, Operation::RemoveAndGet).await?.0 {
            Outcome::Removed(count) => Ok(count),
            _ => Err(KeyspaceError::Unanswered),
        }
    }

    /// Lets a counter expire at a time in milliseconds since the Unix epoch. From then on it reads as absent, and the
    /// next increment begins a new counter at 0. Returns false if there is no counter.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`: nothing has changed.
    pub async fn expire(&self, name: impl AsRef<[u8]>, deadline_ms: u64) -> Result<bool, KeyspaceError> {
        let outcome = self.operate(name, Operation::Expire(deadline_ms)).await?.0;
        Ok(matches!(outcome, Outcome::Deadline(_)))
    }

    /// Removes the deadline of a counter. Returns false if there is no counter, or it has no deadline.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`: nothing has changed.
    pub async fn persist(&self, name: impl AsRef<[u8]>) -> Result<bool, KeyspaceError> {
        let outcome = self.operate(name, Operation::Persist).await?.0;
        Ok(matches!(outcome, Outcome::Deadline(Some(_))))
    }

    /// Returns the time in milliseconds until a counter expires, as [`Outcome::Ttl`], or `Outcome::Value(None)` if
    /// there is no counter.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub async fn ttl(&self, name: impl AsRef<[u8]>) -> Result<Outcome, KeyspaceError> {
        Ok(self.operate(name, Operation::Ttl).await?.0)
    }

    /// Applies one operation like [`add_and_get`](Self::add_and_get), and returns its outcome with the version of the
    /// shard.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`: the operation has not been applied.
    pub async fn operate(
        &self,
        name: impl AsRef<[u8]>,
        operation: Operation,
    ) -> Result<(Outcome, ShardVersion), KeyspaceError> {
        let key = self.key(name.as_ref())?;
        self.check(operation)?;
        let (shard, mut operations) = (self.shard_of(key), Operations::default());
        operations.push(key, operation);
        let answer = self.send_call(shard, operations, None).await?;
        let CallReply { outcomes, version } = self.answer(answer).await?;
        let outcome = outcomes.iter().flatten().next().ok_or(KeyspaceError::Unanswered)?;
        Ok((*outcome, ShardVersion { shard, version }))
    }

    /// Applies operations with one message per shard, and returns the outcome of each. Operations on the same shard,
    /// and so on the same name, are applied in order, and nothing comes between them unless the shard crashes.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`. None has been applied if a name is too long, otherwise those on some
    /// shards may have been.
    pub async fn apply<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
    ) -> Result<Applied, KeyspaceError> {
        let applied = self.apply_parts(self.by_shard(operations, |_, _| {})?, None).await?;
        applied.map_err(|_| KeyspaceError::Unanswered)
    }

    /// Applies operations like [`apply`](Self::apply), as the request of a session with this sequence number. However
    /// often the same request is sent, each of its operations takes effect once: a retry completes it where that is
    /// missing, and returns the recorded outcomes, which are [`Outcome::Applied`] for a large request.
    ///
    /// A session must have an answer to one request before it sends the next, with a greater sequence number. Who opens
    /// sessions ensures that their ids are not used twice.
    ///
    /// # Errors
    /// [`SessionError`]. After [`SessionError::Keyspace`] the outcome is unknown, and a retry will tell.
    pub async fn apply_in_session<N: AsRef<[u8]>>(
        &self,
        session: SessionId,
        sequence: u64,
        operations: impl IntoIterator<Item = (N, Operation)>,
    ) -> Result<Applied, SessionError> {
        let mut fingerprint = Fingerprint::default();
        let parts = self.by_shard(operations, |name, operation| fingerprint.add(name, operation))?;
        let request = SessionRequest { id: session, sequence, fingerprint: fingerprint.value() };
        Ok(self.apply_parts(parts, Some(request)).await??)
    }

    /// Ends all sessions below this one in all shards, which forget their records. Returns the versions of the shards:
    /// the floor is in the rounds that end with these or greater ones.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn set_session_floor(&self, floor: SessionId) -> Result<Vec<ShardVersion>, KeyspaceError> {
        let versions = self.ask_all(|reply| ShardMessage::RaiseSessionFloor(floor, reply)).await?;
        Ok(versions.into_iter().enumerate().map(|(shard, version)| ShardVersion { shard, version }).collect())
    }

    /// Checks that this keyspace takes an operation.
    const fn check(&self, operation: Operation) -> Result<(), KeyspaceError> {
        match operation.needs_one_owner() {
            Some(command) if self.is_replicated => Err(KeyspaceError::NeedsOneOwner { command }),
            _ => Ok(()),
        }
    }

    /// Splits a request by shard, and shows each operation to `see`.
    fn by_shard<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        mut see: impl FnMut(&[u8], Operation),
    ) -> Result<Parts, KeyspaceError> {
        let operations = operations.into_iter();
        let (expected, _) = operations.size_hint();
        // Names are spread at random, so a shard may well have more than its share.
        let share = (2 * expected).div_ceil(self.shards()).min(expected);
        let by_shard = vec![Operations::default(); self.shards()];
        let mut parts = Parts { by_shard, shards: Vec::with_capacity(expected) };
        for (name, operation) in operations {
            let key = self.key(name.as_ref())?;
            self.check(operation)?;
            let shard = self.shard_of(key);
            see(key.name, operation);
            let part = &mut parts.by_shard[shard];
            if part.len() == 0 {
                part.reserve(share, (share * key.name.len()).min(RESERVED_NAME_BYTES));
            }
            part.push(key, operation);
            parts.shards.push(shard);
        }
        Ok(parts)
    }

    async fn apply_parts(
        &self,
        Parts { by_shard, shards, .. }: Parts,
        session: Option<SessionRequest>,
    ) -> Result<Result<Applied, SessionRefusal>, KeyspaceError> {
        let mut answers = Vec::with_capacity(self.shards());
        for (shard, operations) in by_shard.into_iter().enumerate() {
            if operations.len() > 0 {
                answers.push((shard, self.send_call(shard, operations, session).await?));
            }
        }
        let (mut versions, mut outcomes) =
            (Vec::with_capacity(answers.len()), Vec::with_capacity(answers.len()));
        let mut refused = Ok(());
        // One after the other, because all shards work meanwhile.
        for (shard, answer) in answers {
            let CallReply { outcomes: of_shard, version } = self.answer(answer).await?;
            versions.push(ShardVersion { shard, version });
            match of_shard {
                Ok(of_shard) => outcomes.push((shard, of_shard)),
                Err(refusal) => refused = Err(refusal),
            }
        }
        if let Err(refusal) = refused {
            return Ok(Err(refusal));
        }
        let outcomes = in_order(&shards, outcomes).ok_or(KeyspaceError::Unanswered)?;
        Ok(Ok(Applied { outcomes, versions }))
    }

    /// Sends a call, and returns a receiver of the answer.
    async fn send_call(
        &self,
        shard: usize,
        operations: Operations,
        session: Option<SessionRequest>,
    ) -> Result<oneshot::Receiver<CallReply>, KeyspaceError> {
        let (reply, answer) = oneshot::channel();
        self.shards[shard].send(Change::Call(Call::new(operations, session, reply))).await?;
        Ok(answer)
    }

    /// Waits for an answer. A shard that dies answers when it is back, unless its supervisor has ended.
    async fn answer<T>(&self, mut answer: oneshot::Receiver<T>) -> Result<T, KeyspaceError> {
        tokio::select! {
            biased;
            answer = &mut answer => answer.map_err(|_| KeyspaceError::Unanswered),
            _ = self.supervisor.wait(None) => answer.try_recv().map_err(|_| KeyspaceError::Stopped),
        }
    }
}

/// Returns the outcomes of shards in the order of the operations, of which this has the shard of each.
fn in_order(shards: &[usize], mut outcomes: Vec<(usize, Vec<Outcome>)>) -> Option<Vec<Outcome>> {
    if let [(_, of_all)] = &mut outcomes[..] {
        return (of_all.len() == shards.len()).then(|| mem::take(of_all));
    }
    let mut by_shard = vec![vec::IntoIter::default(); outcomes.last().map_or(0, |(shard, _)| shard + 1)];
    for (shard, of_shard) in outcomes {
        by_shard[shard] = of_shard.into_iter();
    }
    let mut in_order = Vec::with_capacity(shards.len());
    for shard in shards {
        in_order.push(by_shard.get_mut(*shard)?.next()?);
    }
    Some(in_order)
}
