//! A store between its recovery and its start, when it is decided whether it replicates.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counter_keyspace::{Keyspace, ShardBuilder};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::committer::{self, Committer, ReplicaWriter, Timing};
use crate::disk::{Disk, FsDisk};
use crate::error::OpenError;
use crate::progress::Inbox;
use crate::record::Opened as OpenedRecord;
use crate::recovery::Progress;
use crate::replicas::{ColumnSink, Columns, Member, NoColumns, ReplicaKey, Replicas, StoreId};
use crate::sessions::SessionIssuer;
use crate::source::FeedSource;

use super::open::Opened;
use super::{Driver, Sessions, Store, StoreOptions};

/// Time between two steps of a snapshot, each of which writes or reads a few hundred kilobytes.
const STEP_INTERVAL: Duration = Duration::from_millis(2);

/// Store that has been read and verified, and does not run yet.
#[derive(Debug)]
pub struct Recovered {
    opened: Opened,
    options: StoreOptions,
}

/// Store that is to replicate: what it held has become a column, and it counts from zero.
#[derive(Debug)]
pub struct Sealed {
    recovered: Recovered,
    record: OpenedRecord,
}

impl Store {
    /// Recovers the store in a directory, which it creates if necessary, and hands the columns of other replicas to
    /// `sink`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn recover<S: ColumnSink>(
        dir: &Path,
        options: StoreOptions,
        sink: S,
    ) -> Result<(Recovered, S), OpenError> {
        Self::recover_on(Arc::new(Self::directory(dir)?), options, sink, |_| {}).await
    }

    /// Opens the directory of a store, and creates it if necessary.
    ///
    /// # Errors
    /// [`OpenError::Disk`].
    pub fn directory(dir: &Path) -> Result<FsDisk, OpenError> {
        FsDisk::create(dir).map_err(OpenError::disk("open the directory"))
    }

    /// Recovers the store on a disk, and reports how far it is.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn recover_on<S: ColumnSink>(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        mut sink: S,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<(Recovered, S), OpenError> {
        let driver = options.driver;
        let recover = move || {
            let opened = Opened::open(disk, &options, &mut sink, progress)?;
            Ok((Recovered { opened, options }, sink))
        };
        match driver {
            Driver::Task => recover(),
            Driver::Thread => {
                let recovering = tokio::task::spawn_blocking(recover);
                recovering.await.map_err(|error| OpenError::Keyspace(error.into()))?
            }
        }
    }
}

impl Recovered {
    pub(super) const fn new(opened: Opened, options: StoreOptions) -> Self {
        Self { opened, options }
    }

    /// Returns the replica that the store counted as last; `None` if it has never had a peer.
    #[must_use]
    pub const fn own(&self) -> Option<&ReplicaKey> {
        self.opened.replicas.own.as_ref()
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn id(&self) -> StoreId {
        StoreId(self.opened.writers.log.header().identity.store)
    }

    /// Returns the stores that this one has recorded as its members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.opened.replicas.members.iter()
    }

    /// Starts a store without peers, and its keyspace.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Replicated`] if the store has, or ever had, peers.
    pub async fn start(self) -> Result<(Store, Keyspace), OpenError> {
        if self.own().is_some() {
            return Err(OpenError::Replicated);
        }
        let needs_complete = self.opened.needs_complete;
        let incarnation = self.opened.writers.log.header().incarnation;
        let (store, keyspace) = launch(self, incarnation, None, NoColumns).await?;
        if needs_complete {
            // What was missing is made good for, or what was distributed anew is so durably, before anybody counts.
            store.inbox.wait().await.map_err(|error| OpenError::Keyspace(error.into()))?;
        }
        Ok((store, keyspace))
    }

    /// Makes what the store holds a column, which is handed to `sink`, and gives the store a new replica of this node.
    /// All sessions end, and the keyspace refuses operations that need one owner.
    ///
    /// The incarnation is greater than the last one and than the seconds since 1970 in its upper half, by a random
    /// number of 32 bits: other copies of this store may be opened in the same second, or with a clock that was set
    /// back, and are other replicas.
    ///
    /// This is durable with the first round. Nothing may be sent, accepted or acknowledged before.
    ///
    /// # Errors
    /// [`OpenError::Deadlines`] if counters expire.
    pub fn seal(
        mut self,
        node: &str,
        now: SystemTime,
        sink: &mut dyn ColumnSink,
    ) -> Result<Sealed, OpenError> {
        let deadlines = self.opened.shards.iter_mut().map(|shard| shard.totals().deadlines).sum();
        if deadlines > 0 {
            return Err(OpenError::Deadlines { deadlines });
        }
        let names: u64 = self.opened.shards.iter_mut().map(|shard| shard.totals().names).sum();
        // A table that has never had a peer is the column of the store itself. Copies that hold the same are one.
        let last = self.own().cloned().unwrap_or_else(|| ReplicaKey {
            node: format!("store-{}", self.id()).into(),
            incarnation: self.opened.writers.log.durable().checksum,
        });
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let after = self.own().map_or(0, |own| own.incarnation).max(seconds << 32);
        let random = self.opened.random.bytes().map(u32::from_le_bytes);
        let random = random.map_err(OpenError::disk("get random numbers"))?;
        let own = ReplicaKey { node: node.into(), incarnation: after + 1 + u64::from(random) };
        let sealed = (names > 0).then_some(last);
        for shard in &mut self.opened.shards {
            let counters = shard.take_counters();
            if let Some(sealed) = &sealed
                && !counters.iter().all(|(key, count)| sink.merge(sealed, key.name(), count))
            {
                return Err(OpenError::TooManyReplicas);
            }
            shard.set_session_floor(own.first_session());
        }
        let end = sealed.iter().map(|sealed| (sealed.clone(), sink.totals(sealed)));
        self.opened.replicas.ends.extend(end);
        self.options.keyspace.is_replicated = true;
        Ok(Sealed { recovered: self, record: OpenedRecord { own, sealed } })
    }
}

impl Sealed {
    /// Returns the replica that the store counts as.
    #[must_use]
    pub const fn own(&self) -> &ReplicaKey {
        &self.record.own
    }

    /// Starts the store, which takes the columns of others from `columns`, and its keyspace. Wait for [`Store::flush`]
    /// before anything is sent or accepted.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn start(self, columns: impl Columns) -> Result<(Store, Keyspace), OpenError> {
        let incarnation = self.record.own.incarnation;
        launch(self.recovered, incarnation, Some(self.record), columns).await
    }
}

/// Starts the keyspace and the committer.
async fn launch(
    Recovered { opened, options }: Recovered,
    incarnation: u64,
    record: Option<OpenedRecord>,
    columns: impl Columns,
) -> Result<(Store, Keyspace), OpenError> {
    let Opened { disk, lock, writers, shards, ends, replicas, needs_complete, damage, mut random } = opened;
    if let Some(damage) = &damage {
        tracing::warn!(%damage, "store is open without what is missing");
    }
    let floor = match &record {
        Some(record) => record.own.first_session(),
        None => ends.iter().map(|end| end.session_floor).max().unwrap_or_default(),
    };
    let first_session =
        random.bytes().map(u32::from_le_bytes).map_err(OpenError::disk("get random numbers"))?;
    let shards = shards.into_iter().map(ShardBuilder::build).collect();
    let resumed = Keyspace::resume_from(options.keyspace.clone(), shards).await;
    let (keyspace, feed) = resumed.map_err(|error| OpenError::Keyspace(error.into()))?;
    let source = FeedSource::new(keyspace.handle(), feed);
    let Replicas { members, ends: column_ends, .. } = replicas;
    let replicas = ReplicaWriter::new(record, members, column_ends, columns);
    let mut committer = Committer::new(disk, writers, source, ends, replicas);
    if needs_complete {
        committer.require_complete();
    }
    let (inbox, publisher) = Inbox::new();
    let timing = Timing { round_interval: options.round_interval, step_interval: STEP_INTERVAL };
    let (end, ended) = oneshot::channel();
    let run = {
        let inbox = inbox.clone();
        async move {
            committer::run(committer, timing, &inbox, &publisher).await;
            drop(lock);
            // Nobody waits if the store was dropped.
            let _ = end.send(());
        }
    };
    drive(options.driver, run).map_err(OpenError::disk("start a thread"))?;
    let issuer = SessionIssuer::new(incarnation, first_session, floor, options.max_sessions);
    let store = Store {
        sessions: Sessions::new(issuer, inbox.clone(), keyspace.handle()),
        inbox,
        keyspace: keyspace.handle(),
        options,
        damage,
        ended: Some(ended),
    };
    Ok((store, keyspace))
}

/// Runs the committer.
fn drive(driver: Driver, run: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    match driver {
        Driver::Task => _ = tokio::spawn(run),
        Driver::Thread => {
            let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
            Builder::new().name("committer".into()).spawn(move || runtime.block_on(run))?;
        }
    }
    Ok(())
}
