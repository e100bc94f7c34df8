use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use counter_keyspace::{Entry, Keyspace, Partitioner, RecoveryError, ShardBuilder};

use crate::disk::{FsDisk, sync_parent};
use crate::error::OpenError;
use crate::random::Random;

use super::open::{Opened, new_partitioner};
use super::{Recovered, Store, StoreOptions};

/// Counters of a store that is to be created.
#[derive(Debug)]
pub struct Loader {
    hash_seeds: [u64; 4],
    partitioner: Partitioner,
    builders: Vec<ShardBuilder>,
    names: u64,
}

impl Store {
    /// Returns a loader of counters for a new store with this number of shards.
    ///
    /// # Errors
    /// [`OpenError::Disk`] if the system has no random numbers.
    pub fn loader(shards: NonZeroUsize) -> Result<Loader, OpenError> {
        let random_numbers = OpenError::disk("get random numbers");
        let (hash_seeds, partitioner) =
            new_partitioner(&mut Random::System, shards).map_err(random_numbers)?;
        let builders = (0..shards.get()).map(|n| ShardBuilder::new(&partitioner, n)).collect();
        Ok(Loader { hash_seeds, partitioner, builders, names: 0 })
    }
}

impl Loader {
    /// Inserts a counter.
    ///
    /// # Errors
    /// [`RecoveryError::NameTooLong`].
    pub fn insert(&mut self, entry: Entry<'_>) -> Result<(), RecoveryError> {
        let shard = self.partitioner.shard_of(self.partitioner.key(entry.name)?);
        self.names += 1;
        self.builders[shard].insert(entry)
    }

    /// Creates the store, in a directory that does not exist. When this returns, all of it is durable.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::SameName`] if a counter was inserted twice.
    pub async fn create(mut self, dir: &Path, options: StoreOptions) -> Result<(Store, Keyspace), OpenError> {
        let names: u64 = self.builders.iter_mut().map(|builder| builder.totals().names).sum();
        if names != self.names {
            return Err(OpenError::SameName);
        }
        if dir.exists() {
            return Err(OpenError::Exists);
        }
        let disk = Arc::new(FsDisk::create(dir).map_err(OpenError::disk("create the directory"))?);
        let Self { hash_seeds, partitioner, builders, .. } = self;
        let opened = tokio::task::spawn_blocking({
            let options = options.clone();
            move || Opened::load(disk, &options, hash_seeds, &partitioner, builders)
        });
        let opened = opened.await.map_err(|error| OpenError::Keyspace(error.into()))??;
        Recovered::new(opened, options).start().await
    }
}

/// Gives the directory of a store another name, durably.
///
/// # Errors
/// Errors of the operating system.
pub fn rename_store(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_parent(to)
}
