mod operations;

use std::cmp::Ordering;
use std::sync::Arc;

use ahash::RandomState;
use counter_protocol::{AggregatedStats, Count, CounterName, NameTooLong};
use futures_util::future::try_join_all;
use ractor::{ActorCell, RpcReplyPort};
use ractor_outbox::{CallError, Metrics, Outbox, SendError};

use crate::calls::ShardVersion;
use crate::deltas::{Change, Deltas};
use crate::feed::Feed;
use crate::follower::FeedOwner;
use crate::key::{self, Key, OwnedKey};
use crate::shard::ShardMessage;
use crate::table::TablePosition;

pub use operations::SessionError;

/// Handle on a keyspace. Clones have outboxes of their own, so give each sender one.
///
/// Questions see everything that was sent through the same handle before.
#[derive(Clone, Debug)]
pub struct KeyspaceHandle {
    pub(crate) shards: Vec<Outbox<Deltas, ShardMessage>>,
    hasher: Arc<RandomState>,
    /// Supervisor of the shards. While it lives, a shard that has died may come back.
    pub(crate) supervisor: ActorCell,
    /// Operations that need one owner are refused.
    is_replicated: bool,
}

/// Error of a [`KeyspaceHandle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyspaceError {
    /// The name is too long for a counter.
    #[error(transparent)]
    NameTooLong(#[from] NameTooLong),
    /// The names that wait for the shard are too many or too long in all: the operation has not been counted.
    #[error("too many names wait; wait, drop the operation or send it elsewhere")]
    Full,
    /// The keyspace has stopped: the operation was not and will not be applied, the question not answered.
    #[error("keyspace has stopped")]
    Stopped,
    /// The shard dropped the question, but has not stopped. [`ShardActor`](crate::ShardActor) never does, but a
    /// custom actor might.
    #[error("question dropped by a shard of the keyspace")]
    Unanswered,
    /// The keyspace is replicated, and the operation is for counters that live in one place. It has not been applied.
    #[error("{command} needs one owner; this store is replicated")]
    NeedsOneOwner {
        /// Name of the operation.
        command: &'static str,
    },
    /// There is no such shard, or not as many.
    #[error("no such shard in this keyspace, which has {shards}")]
    NoSuchShard {
        /// Number of the keyspace's shards.
        shards: usize,
    },
}

/// Counters of one page of a scan, in arbitrary order.
pub type Page = Vec<(CounterName, Count)>;

/// Compares two counters in the order of [`KeyspaceHandle::top`]: largest value first, equal values by name.
fn by_rank((a, x): &(CounterName, Count), (b, y): &(CounterName, Count)) -> Ordering {
    y.value.cmp(&x.value).then_with(|| a.cmp(b))
}

/// Maximum number of counters in a page of a scan.
const PAGE: usize = 4096;

/// Position in a scan. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageToken {
    shard: usize,
    position: TablePosition,
}

impl PageToken {
    /// Returns the position as a number, which is 0 only for the beginning.
    #[must_use]
    pub const fn to_cursor(self) -> u64 {
        (self.shard as u64) << 40 | self.position.to_bits()
    }

    /// Returns the position of a number. One that is no position leads to an empty page or into the scan somewhere.
    #[must_use]
    pub const fn from_cursor(cursor: u64) -> Self {
        let shard = (cursor >> 40) as usize;
        Self { shard, position: TablePosition::from_bits(cursor) }
    }
}

impl From<CallError> for KeyspaceError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Closed => Self::Stopped,
            CallError::Unanswered => Self::Unanswered,
        }
    }
}

impl<T> From<SendError<T>> for KeyspaceError {
    fn from(error: SendError<T>) -> Self {
        match error {
            SendError::Full(_) => Self::Full,
            SendError::Closed(_) => Self::Stopped,
        }
    }
}

impl KeyspaceHandle {
    pub(crate) fn new(
        shards: Vec<Outbox<Deltas, ShardMessage>>,
        hasher: RandomState,
        supervisor: ActorCell,
        is_replicated: bool,
    ) -> Self {
        Self { shards, hasher: Arc::new(hasher), supervisor, is_replicated }
    }

    /// Adds `amount`, which may be negative, to the counter of this name, and creates the counter if there is none.
    /// Waits for room if too many names wait for its shard, but not for the shard to apply the operation. A future
    /// that is dropped before it is ready has counted nothing.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub async fn increment(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<(), KeyspaceError> {
        let (shard, change) = self.change(name.as_ref(), amount)?;
        Ok(shard.send(change).await?)
    }

    /// Adds `amount` like [`increment`](Self::increment), but does not wait for room.
    ///
    /// # Errors
    /// [`KeyspaceError`].
    pub fn try_increment(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<(), KeyspaceError> {
        let (shard, change) = self.change(name.as_ref(), amount)?;
        Ok(shard.try_send(change)?)
    }

    /// Adds `amount` like [`increment`](Self::increment), but drops and counts the operation if there is no room.
    /// Returns true if it went in.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub fn increment_or_drop(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<bool, KeyspaceError> {
        let (shard, change) = self.change(name.as_ref(), amount)?;
        Ok(shard.send_or_drop(change)?)
    }

    /// Adds `amount` like [`increment`](Self::increment), but turns to another keyspace if this one has no room or
    /// has stopped.
    ///
    /// # Errors
    /// [`KeyspaceError`] of the other keyspace.
    pub fn increment_or(
        &self,
        name: impl AsRef<[u8]>,
        amount: i64,
        other: &Self,
    ) -> Result<(), KeyspaceError> {
        match self.try_increment(name.as_ref(), amount) {
            Err(KeyspaceError::Full | KeyspaceError::Stopped) => other.try_increment(name, amount),
            done => done,
        }
    }

    /// Adds up many operations that were folded beforehand. The [`Deltas`] at index `i` of the list are for shard
    /// `i`. Waits for room if too many names wait; deltas that exceed the bound by themselves go in once nothing else
    /// waits.
    ///
    /// # Errors
    /// [`KeyspaceError::NoSuchShard`] unless there are as many as shards: nothing has been added then.
    /// [`KeyspaceError::Stopped`].
    pub async fn merge(&self, deltas: Vec<Deltas>) -> Result<(), KeyspaceError> {
        if deltas.len() != self.shards.len() {
            return Err(self.no_such_shard());
        }
        for (shard, deltas) in self.shards.iter().zip(deltas) {
            if deltas.names() > 0 {
                shard.send(Change::Many(deltas)).await?;
            }
        }
        Ok(())
    }

    /// Returns the key of a name in this keyspace. Reuse it where the same name is needed again.
    ///
    /// # Errors
    /// [`NameTooLong`].
    #[inline]
    pub fn key<'a>(&self, name: &'a [u8]) -> Result<Key<'a>, NameTooLong> {
        self.key_within(name, name.len())
    }

    /// Returns the key of the name that is the first `len` of these bytes. This is faster if more bytes follow the
    /// name.
    ///
    /// # Errors
    /// [`NameTooLong`].
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[inline]
    pub fn key_within<'a>(&self, bytes: &'a [u8], len: usize) -> Result<Key<'a>, NameTooLong> {
        Key::new(&self.hasher, bytes, len)
    }

    /// Returns the shard that a name belongs to.
    #[inline]
    #[must_use]
    pub fn shard_of(&self, key: Key<'_>) -> usize {
        key::shard_of(key, self.shards.len())
    }

    /// Returns the number of shards.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Returns the value of the counter of this name, if there is one.
    ///
    /// # Errors
    /// [`KeyspaceError`].
    pub async fn value(&self, name: impl AsRef<[u8]>) -> Result<Option<i64>, KeyspaceError> {
        Ok(self.count(name).await?.map(|count| count.value))
    }

    /// Returns the value and the number of operations of the counter of this name, if there is one.
    ///
    /// # Errors
    /// [`KeyspaceError`].
    pub async fn count(&self, name: impl AsRef<[u8]>) -> Result<Option<Count>, KeyspaceError> {
        let key = self.key(name.as_ref())?;
        let (shard, key) = (self.shard(key), OwnedKey::from(key));
        Ok(shard.call(|reply| ShardMessage::Get(key.clone(), reply)).await?)
    }

    /// Takes the counters whose values are outside of the range of `i64`, with their exact values, in order of name.
    /// There are none unless the keyspace [carries](crate::OverflowPolicy::Carry) them. After a crash in between it may
    /// miss some.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn take_overflowed(&self) -> Result<Vec<(CounterName, i128)>, KeyspaceError> {
        let mut overflowed = self.ask_all(ShardMessage::TakeOverflowed).await?.concat();
        overflowed.sort_unstable();
        Ok(overflowed)
    }

    /// Waits until every operation that was sent through this handle before has been applied.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn flush(&self) -> Result<(), KeyspaceError> {
        self.versions().await?;
        Ok(())
    }

    /// Waits like [`flush`](Self::flush), and returns the versions of all shards.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn versions(&self) -> Result<Vec<ShardVersion>, KeyspaceError> {
        let versions = self.ask_all(ShardMessage::Flush).await?.into_iter().enumerate();
        Ok(versions.map(|(shard, version)| ShardVersion { shard, version }).collect())
    }

    /// Returns the statistics of all counters together.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn stats(&self) -> Result<AggregatedStats, KeyspaceError> {
        Ok(self.shard_stats().await?.into_iter().collect())
    }

    /// Returns the statistics of each shard.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn shard_stats(&self) -> Result<Vec<AggregatedStats>, KeyspaceError> {
        self.ask_all(ShardMessage::GetStats).await
    }

    /// Returns the `n` counters with the largest values, those of equal value in order of name. Exact, across all
    /// shards.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn top(&self, n: usize) -> Result<Vec<(CounterName, Count)>, KeyspaceError> {
        let tops = self.ask_all(|reply| ShardMessage::GetTop(n, reply)).await?;
        let mut top: Vec<_> = tops.into_iter().flatten().collect();
        top.sort_unstable_by(by_rank);
        top.truncate(n);
        Ok(top)
    }

    /// Returns one page of all counters, and the position of the next. A counter that exists throughout a scan is in
    /// at least one page, whatever is added or removed meanwhile; removals may put it into several. A page may be
    /// empty.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn scan(&self, token: PageToken) -> Result<(Page, Option<PageToken>), KeyspaceError> {
        self.scan_up_to(token, PAGE).await
    }

    /// Returns a page of up to `max_counters` counters, at least one, like [`scan`](Self::scan).
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn scan_up_to(
        &self,
        token: PageToken,
        max_counters: usize,
    ) -> Result<(Page, Option<PageToken>), KeyspaceError> {
        self.scan_prefix(token, max_counters, &[]).await
    }

    /// Returns a page of up to `max_counters` counters whose names begin with `prefix`, like [`scan`](Self::scan).
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`], [`KeyspaceError::Unanswered`].
    pub async fn scan_prefix(
        &self,
        token: PageToken,
        max_counters: usize,
        prefix: &[u8],
    ) -> Result<(Page, Option<PageToken>), KeyspaceError> {
        let PageToken { shard, position } = token;
        let Some(outbox) = self.shards.get(shard) else { return Ok((Page::new(), None)) };
        let max_counters = max_counters.min(PAGE);
        let question = |reply| ShardMessage::GetPage(position, max_counters, prefix.into(), reply);
        let (counters, next) = outbox.call(question).await?;
        let next = match next {
            Some(position) => Some(PageToken { shard, position }),
            None => Some(PageToken { shard: shard + 1, position: TablePosition::default() }),
        };
        Ok((counters, next.filter(|next| next.shard < self.shards.len())))
    }

    /// Returns a new feed of all changes. Its first round has all counters.
    #[must_use]
    pub fn follow(&self) -> Feed {
        Feed::new(self, std::iter::repeat_with(FeedOwner::default))
    }

    /// Returns counts of this handle's operations by outcome.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shards.iter().map(Outbox::metrics).fold(Metrics::default(), |sum, metrics| sum + metrics)
    }

    fn change<'a>(
        &self,
        name: &'a [u8],
        amount: i64,
    ) -> Result<(&Outbox<Deltas, ShardMessage>, Change<'a>), KeyspaceError> {
        let key = self.key(name)?;
        Ok((self.shard(key), Change::One(key, amount.into())))
    }

    const fn no_such_shard(&self) -> KeyspaceError {
        KeyspaceError::NoSuchShard { shards: self.shards.len() }
    }

    fn shard(&self, key: Key<'_>) -> &Outbox<Deltas, ShardMessage> {
        &self.shards[self.shard_of(key)]
    }

    /// Asks all shards at once.
    async fn ask_all<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> ShardMessage + Send + Sync + Copy,
    ) -> Result<Vec<T>, KeyspaceError> {
        Ok(try_join_all(self.shards.iter().map(|shard| shard.call(question))).await?)
    }
}
