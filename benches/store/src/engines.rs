//! Engines behind one trait: each makes a round of counters durable, atomically.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use counter_keyspace::{Keyspace, KeyspaceOptions};
use counter_store::{Store, StoreHandle, StoreOptions};
use fjall::{KeyspaceCreateOptions, PersistMode, SingleWriterTxDatabase, SingleWriterTxKeyspace};
use redb::{Database, TableDefinition};
use rusqlite::Connection;
use tokio::runtime::Runtime;

/// Name of a counter.
pub(crate) type Name = [u8; 12];

/// Counters that have changed, with their values and numbers of operations.
pub(crate) type Round = Vec<(Name, i64, u64)>;

pub(crate) trait Engine {
    /// Prepares a round, which is not measured.
    fn prepare(&mut self, _round: &Round) {}

    /// Makes the round durable.
    fn commit(&mut self, round: &Round);

    /// Ends, and waits until all has ended.
    fn close(self: Box<Self>) {}
}

/// Returns the name with this number.
pub(crate) fn name(n: u64) -> Name {
    let mut name = *b"000000000000";
    let digits = n.to_string();
    name[12 - digits.len()..].copy_from_slice(digits.as_bytes());
    name
}

fn encode(value: i64, operations: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    bytes[8..].copy_from_slice(&operations.to_le_bytes());
    bytes
}

/// Our store. What is measured is the whole path from the tables of the shards to the disk.
pub(crate) struct Ours<'a> {
    runtime: &'a Runtime,
    store: Store,
    keyspace: Keyspace,
    handle: StoreHandle,
}

/// Options with rounds only when somebody waits.
pub(crate) fn only_when_asked() -> StoreOptions {
    StoreOptions { round_interval: std::time::Duration::from_secs(3600), ..StoreOptions::default() }
}

impl<'a> Ours<'a> {
    pub(crate) fn open(dir: &Path, options: StoreOptions, runtime: &'a Runtime) -> Self {
        let opened = runtime.block_on(Store::open(&dir.join("store"), options));
        let (store, keyspace) = opened.expect("a new directory");
        Self { runtime, handle: store.handle(), store, keyspace }
    }
}

impl Engine for Ours<'_> {
    fn prepare(&mut self, round: &Round) {
        let keyspace = self.handle.keyspace();
        self.runtime.block_on(async {
            for (name, ..) in round {
                keyspace.increment(name, 1).await.expect("it runs");
            }
            keyspace.flush().await.expect("it runs");
        });
    }

    fn commit(&mut self, _round: &Round) {
        self.runtime.block_on(self.store.flush()).expect("the disk works");
    }

    fn close(self: Box<Self>) {
        let Self { runtime, store, keyspace, .. } = *self;
        runtime.block_on(store.shutdown()).expect("the disk works");
        runtime.block_on(keyspace.shutdown());
    }
}

/// Upper bound set by the disk and the system: a write behind the last one, and `fdatasync`.
pub(crate) struct Append(File);

impl Append {
    pub(crate) fn open(dir: &Path) -> Self {
        Self(File::create(dir.join("append")).expect("a new file"))
    }
}

impl Engine for Append {
    fn commit(&mut self, round: &Round) {
        let mut bytes = Vec::with_capacity(round.len() * 28);
        for (name, value, operations) in round {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&encode(*value, *operations));
        }
        self.0.write_all(&bytes).expect("there is room");
        self.0.sync_data().expect("the disk works");
    }
}

pub(crate) struct Fjall {
    database: SingleWriterTxDatabase,
    counters: SingleWriterTxKeyspace,
}

impl Fjall {
    pub(crate) fn open(dir: &Path) -> Self {
        let database = SingleWriterTxDatabase::builder(dir.join("fjall")).open().expect("a new directory");
        let counters = database.keyspace("counters", KeyspaceCreateOptions::default).expect("a new keyspace");
        Self { database, counters }
    }
}

impl Engine for Fjall {
    fn commit(&mut self, round: &Round) {
        let mut batch = self.database.write_tx().durability(Some(PersistMode::SyncData));
        for (name, value, operations) in round {
            batch.insert(&self.counters, name, encode(*value, *operations));
        }
        batch.commit().expect("the disk works");
    }
}

pub(crate) struct Redb(Database);

const COUNTERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("counters");

impl Redb {
    pub(crate) fn open(dir: &Path) -> Self {
        Self(Database::create(dir.join("redb")).expect("a new file"))
    }
}

impl Engine for Redb {
    fn commit(&mut self, round: &Round) {
        let write = self.0.begin_write().expect("no other writer");
        {
            let mut counters = write.open_table(COUNTERS).expect("a table");
            for (name, value, operations) in round {
                let count = encode(*value, *operations);
                counters.insert(&name[..], &count[..]).expect("there is room");
            }
        }
        write.commit().expect("the disk works");
    }
}

pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn open(dir: &Path) -> Self {
        let connection = Connection::open(dir.join("sqlite")).expect("a new file");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE counters (name BLOB PRIMARY KEY, count BLOB) WITHOUT ROWID;",
            )
            .expect("a table");
        Self(connection)
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, round: &Round) {
        let transaction = self.0.transaction().expect("no other writer");
        {
            let sql = "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = ?2";
            let mut insert = transaction.prepare_cached(sql).expect("it parses");
            for (name, value, operations) in round {
                insert.execute((&name[..], &encode(*value, *operations)[..])).expect("there is room");
            }
        }
        transaction.commit().expect("the disk works");
    }
}

/// Keyspace without a store.
pub(crate) fn in_memory(runtime: &Runtime) -> Keyspace {
    runtime.block_on(Keyspace::start(KeyspaceOptions::default())).expect("it starts")
}
