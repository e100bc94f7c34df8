//! Everything that a front end may ask.

mod error;

use std::sync::Arc;

use counter_keyspace::{Keyspace, KeyspaceHandle, Operation, Outcome, Page, PageToken};
use counter_protocol::{AggregatedStats, Count, CounterName};
use counter_store::{Durability, Store, StoreHandle};

pub use error::CountersError;

/// Named counters, with outboxes of its own: clone it for each connection.
///
/// Questions see everything that was sent through the same clone before.
#[derive(Clone, Debug)]
pub struct Counters {
    handle: Handle,
    backend: Arc<Backend>,
}

/// Where operations go.
#[derive(Clone, Debug)]
enum Handle {
    Memory(KeyspaceHandle),
    Store(StoreHandle),
}

#[derive(Debug)]
struct Backend {
    store: Option<Store>,
    durability: Durability,
}

impl Counters {
    /// Creates counters that end with the process.
    #[must_use]
    pub fn in_memory(keyspace: &Keyspace) -> Self {
        let backend = Backend { store: None, durability: Durability::Memory };
        Self { handle: Handle::Memory(keyspace.handle()), backend: Arc::new(backend) }
    }

    /// Creates counters that are durable.
    #[must_use]
    pub fn durable(store: Store, default_durability: Durability) -> Self {
        let handle = Handle::Store(store.handle());
        let backend = Backend { store: Some(store), durability: default_durability };
        Self { handle, backend: Arc::new(backend) }
    }

    /// Applies operations with one message per shard, and returns their outcomes in order, with this guarantee.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn apply<N: AsRef<[u8]>>(
        &self,
        operations: impl IntoIterator<Item = (N, Operation)>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, CountersError> {
        Ok(match &self.handle {
            Handle::Memory(keyspace) => {
                Self::check_durability(durability)?;
                keyspace.apply(operations).await?.outcomes
            }
            Handle::Store(store) => store.apply_at(operations, durability).await?.outcomes,
        })
    }

    /// Returns the value and the number of operations of a counter as it stands, whether that is durable or not.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn count(&self, name: impl AsRef<[u8]>) -> Result<Option<Count>, CountersError> {
        Ok(self.keyspace().count(name).await?)
    }

    /// Returns one page of all counters, and the position of the next. A counter that exists throughout a scan is in
    /// at least one page.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn scan(&self, token: PageToken) -> Result<(Page, Option<PageToken>), CountersError> {
        Ok(self.keyspace().scan(token).await?)
    }

    /// Returns the `n` counters with the largest values, those of equal value in order of name.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn top(&self, n: usize) -> Result<Vec<(CounterName, Count)>, CountersError> {
        Ok(self.keyspace().top(n).await?)
    }

    /// Returns the totals of all counters.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn stats(&self) -> Result<AggregatedStats, CountersError> {
        Ok(self.keyspace().stats().await?)
    }

    /// Waits until everything that was sent through this clone before has this guarantee.
    ///
    /// # Errors
    /// [`CountersError`].
    pub async fn flush(&self, durability: Durability) -> Result<(), CountersError> {
        match (&self.handle, durability) {
            (Handle::Store(store), Durability::Fsync) => store.flush().await?,
            (Handle::Memory(_), Durability::Fsync) => return Err(CountersError::NotDurable),
            (Handle::Store(_) | Handle::Memory(_), Durability::Memory) => self.keyspace().flush().await?,
        }
        Ok(())
    }

    /// Makes everything durable and closes the store, if this is the last clone; otherwise the last one will.
    pub(crate) async fn shutdown(self) -> Result<(), CountersError> {
        let Self { handle, backend } = self;
        drop(handle);
        match Arc::try_unwrap(backend) {
            Ok(Backend { store: Some(store), .. }) => store.shutdown().await?,
            Ok(Backend { store: None, .. }) => {}
            Err(shared) => {
                if let Some(store) = &shared.store {
                    store.flush().await?;
                }
            }
        }
        Ok(())
    }

    /// Returns the guarantee of requests that do not ask for another.
    #[must_use]
    pub fn default_durability(&self) -> Durability {
        self.backend.durability
    }

    /// Returns the store, if the counters are durable.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.backend.store.as_ref()
    }

    fn check_durability(durability: Durability) -> Result<(), CountersError> {
        match durability {
            Durability::Memory => Ok(()),
            Durability::Fsync => Err(CountersError::NotDurable),
        }
    }

    const fn keyspace(&self) -> &KeyspaceHandle {
        match &self.handle {
            Handle::Memory(keyspace) => keyspace,
            Handle::Store(store) => store.keyspace(),
        }
    }
}
