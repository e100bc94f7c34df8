use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::future::try_join_all;
use ractor_outbox::{CallError, Outbox};
use ractor_supervision::{Options, SupervisedActor, SupervisorError, SupervisorHandle};

use crate::actor::{Insertions, ShardActor, ShardMessage};
use crate::shard::Shard;
use crate::{Key, Stats, Value};

/// Maximum number of insertions of one client that wait for one shard. Beyond it, [`Cache::insert`] waits too. If it
/// dropped the insertion instead, an older value would stay in its place.
pub const INSERTIONS_WAITING: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// Client's handle on a cache. Give each client a clone: it has outboxes of its own, and finds its own insertions.
/// Methods fail when the cache has stopped, in order or because restarting its shards did not help.
#[derive(Clone, Debug)]
pub struct Cache {
    shards: Vec<Outbox<Insertions, ShardMessage>>,
}

impl Cache {
    /// Starts shards with a maximum number of entries each. They run until their supervisor stops.
    pub async fn start(
        shards: NonZeroUsize,
        entries: NonZeroUsize,
    ) -> Result<(Self, SupervisorHandle), SupervisorError> {
        let shards: Vec<_> = (0..shards.get())
            .map(|n| {
                let insertions = Insertions::bounded(INSERTIONS_WAITING);
                SupervisedActor::new(format!("shard {n}"), || ShardActor, Shard::new(entries), insertions)
            })
            .collect();
        let cache = Self { shards: shards.iter().map(SupervisedActor::outbox).collect() };
        let specs = shards.into_iter().map(Into::into).collect();
        let supervisor = SupervisorHandle::start(Options::default(), specs).await?;
        Ok((cache, supervisor))
    }

    /// Inserts an entry, to be found for the duration of `ttl`. Waits only for room in this client's outbox.
    pub async fn insert(&self, key: &Key, value: Value, ttl: Duration) -> Result<(), CallError> {
        let entry = (value, tokio::time::Instant::now() + ttl);
        self.shard_of(key).send((key.clone(), entry)).await.map_err(|_| CallError::Closed)
    }

    /// Returns the value of a key.
    pub async fn get(&self, key: &Key) -> Result<Option<Value>, CallError> {
        self.shard_of(key).call(|reply| ShardMessage::Get(key.clone(), reply)).await
    }

    /// Removes an entry. After a crash during the call it may return `None` for an entry that did exist.
    pub async fn remove(&self, key: &Key) -> Result<Option<Value>, CallError> {
        self.shard_of(key).call(|reply| ShardMessage::Remove(key.clone(), reply)).await
    }

    /// Returns the statistics of each shard. Their sum is the cache's.
    pub async fn stats(&self) -> Result<Vec<Stats>, CallError> {
        try_join_all(self.shards.iter().map(|shard| shard.call(ShardMessage::GetStats))).await
    }

    /// Returns the shard of a key, by a hash that is the same in every run.
    fn shard_of(&self, key: &Key) -> &Outbox<Insertions, ShardMessage> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(key);
        &self.shards[(hash >> 32) as usize % self.shards.len()]
    }
}
