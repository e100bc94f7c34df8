use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::future::try_join_all;
use ractor_outbox::{CallError, Outbox};
use ractor_supervision::{Options, SupervisedActor, SupervisorError, SupervisorHandle};

use crate::actor::{Insertions, ShardActor, ShardMessage};
use crate::shard::Shard;
use crate::{Key, Stats, Value};

/// How many insertions of one client wait for one shard; then [`Cache::insert`] waits too. If it dropped the insertion
/// instead, an older value would stay in its place.
pub const INSERTIONS_WAITING: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// What clients hold of a cache. Give each a clone: it has outboxes of its own, and finds what it has put in. Methods
/// fail when the cache has stopped, in order or because restarting its shards did not help.
#[derive(Clone, Debug)]
pub struct Cache {
    shards: Vec<Outbox<Insertions, ShardMessage>>,
}

impl Cache {
    /// Starts so many shards, with so many entries each at most. They run until their supervisor stops.
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

    /// Puts an entry in, to be found for so long. Waits for nothing but room in this client's outbox.
    pub async fn insert(&self, key: &Key, value: Value, ttl: Duration) -> Result<(), CallError> {
        let entry = (value, tokio::time::Instant::now() + ttl);
        self.shard_of(key).send((key.clone(), entry)).await.map_err(|_| CallError::Closed)
    }

    /// Looks a key up.
    pub async fn get(&self, key: &Key) -> Result<Option<Value>, CallError> {
        self.shard_of(key).call(|reply| ShardMessage::Get(key.clone(), reply)).await
    }

    /// Takes an entry out. After a crash in between it may say `None` of one that was there.
    pub async fn remove(&self, key: &Key) -> Result<Option<Value>, CallError> {
        self.shard_of(key).call(|reply| ShardMessage::Remove(key.clone(), reply)).await
    }

    /// The statistics of each shard. Their sum is the cache's.
    pub async fn stats(&self) -> Result<Vec<Stats>, CallError> {
        try_join_all(self.shards.iter().map(|shard| shard.call(ShardMessage::GetStats))).await
    }

    /// By a hash that is the same in every run.
    fn shard_of(&self, key: &Key) -> &Outbox<Insertions, ShardMessage> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(key);
        &self.shards[(hash >> 32) as usize % self.shards.len()]
    }
}
