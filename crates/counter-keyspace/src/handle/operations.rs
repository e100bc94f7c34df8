//! Operations with outcomes of their own.

use counter_protocol::Count;
use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use super::{KeyspaceError, KeyspaceHandle};
use crate::calls::{Applied, Call, CallReply, Operations, ShardVersion};
use crate::deltas::Change;
use crate::operation::Operation;
use crate::round::Outcome;

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

    /// Returns the time in milliseconds until a counter expires, as [`Outcome::Ttl`], or `Outcome::Value(None)` if there
    /// is no counter.
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
        let (shard, mut operations) = (self.shard_of(key), Operations::default());
        operations.push(key, operation);
        let answer = self.send_call(shard, operations).await?;
        let CallReply { outcomes, version } = self.answer(answer).await?;
        let outcome = outcomes.first().ok_or(KeyspaceError::Unanswered)?;
        Ok((*outcome, ShardVersion { shard, version }))
    }

    /// Applies operations with one message per shard, and returns the outcome of each. Operations on the same shard, and
    /// so on the same name, are applied in order, and nothing comes between them unless the shard crashes.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`. None has been applied if a name is too long, otherwise those on some
    /// shards may have been.
    pub async fn apply<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
    ) -> Result<Applied, KeyspaceError> {
        let (mut by_shard, mut shards) = (vec![Operations::default(); self.shards()], Vec::new());
        for (name, operation) in operations {
            let key = self.key(name.as_ref())?;
            let shard = self.shard_of(key);
            by_shard[shard].push(key, operation);
            shards.push(shard);
        }
        let mut answers = Vec::new();
        for (shard, operations) in by_shard.into_iter().enumerate() {
            if operations.len() > 0 {
                answers.push((shard, self.send_call(shard, operations).await?));
            }
        }
        let answers = answers.into_iter().map(|(shard, answer)| async move {
            let CallReply { outcomes, version } = self.answer(answer).await?;
            Ok::<_, KeyspaceError>((ShardVersion { shard, version }, outcomes.into_iter()))
        });
        let mut answers = try_join_all(answers).await?;
        let versions = answers.iter().map(|(version, _)| *version).collect();
        let mut rest: Vec<_> = (0..self.shards()).map(|_| None).collect();
        for (version, outcomes) in &mut answers {
            rest[version.shard] = Some(outcomes);
        }
        // Back to the order of the operations: the next outcome of the shard of each.
        let outcomes = shards.iter().map(|shard| rest[*shard].as_mut()?.next()).collect::<Option<_>>();
        Ok(Applied { outcomes: outcomes.ok_or(KeyspaceError::Unanswered)?, versions })
    }

    /// Sends a call, and returns a receiver of the answer.
    async fn send_call(
        &self,
        shard: usize,
        operations: Operations,
    ) -> Result<oneshot::Receiver<CallReply>, KeyspaceError> {
        let (reply, answer) = oneshot::channel();
        self.shards[shard].send(Change::Call(Call::new(operations, reply))).await?;
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
