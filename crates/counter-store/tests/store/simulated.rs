//! A store that is driven by a task, on a disk in memory and with time that is paused: nothing is left to chance.

use std::fmt::Debug;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, UNIX_EPOCH};

use counter_keyspace::{Clock, Keyspace, KeyspaceOptions, Operation, Reading};
use counter_store::disk::{Disk, DiskFile, Fault, MemoryDisk};
use counter_store::{Driver, Durability, Store, StoreOptions};
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::replicated::Held;

/// Disk that records its operations, and refuses those of other threads.
#[derive(Clone, Debug)]
struct Recorder {
    disk: MemoryDisk,
    thread: ThreadId,
    operations: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
struct RecordedFile {
    name: String,
    file: Box<dyn DiskFile>,
    recorder: Recorder,
}

impl Recorder {
    fn new(seed: u64) -> Self {
        let operations = Arc::default();
        Self { disk: MemoryDisk::new(seed), thread: thread::current().id(), operations }
    }

    fn record(&self, operation: String) {
        assert_eq!(thread::current().id(), self.thread, "{operation}");
        self.operations.lock().unwrap().push(operation);
    }

    fn file(&self, name: &str, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(RecordedFile { name: name.into(), file, recorder: self.clone() })
    }
}

impl Disk for Recorder {
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>> {
        self.record("lock".into());
        self.disk.lock()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.record(format!("create {name}"));
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.record(format!("open {name}"));
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.record(format!("rename {from} {to}"));
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.record(format!("remove {name}"));
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.record("list".into());
        self.disk.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.record("sync".into());
        self.disk.sync_dir()
    }
}

impl RecordedFile {
    fn record(&self, operation: &str) {
        self.recorder.record(format!("{} {operation}", self.name));
    }
}

impl DiskFile for RecordedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.record(&format!("write {offset} {bytes:02x?}"));
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.record(&format!("read {offset} {}", buffer.len()));
        self.file.read_at(offset, buffer)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.record("len");
        self.file.len_bytes()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.record("sync");
        self.file.sync()
    }

    fn preallocate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.record(&format!("preallocate {len_bytes}"));
        self.file.preallocate(len_bytes)
    }

    fn forget_cached(&mut self) -> io::Result<()> {
        self.record("forget cached");
        self.file.forget_cached()
    }
}

/// Clock that shows the runtime's time.
#[derive(Debug)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Reading {
        let monotonic = self.0.elapsed();
        Reading { wall_ms: u64::try_from(monotonic.as_millis()).unwrap(), monotonic }
    }
}

fn options(seed: u64) -> StoreOptions {
    let keyspace = KeyspaceOptions {
        shards: NonZeroUsize::new(3).unwrap(),
        clock: Arc::new(RuntimeClock(Instant::now())),
        ..KeyspaceOptions::default()
    };
    StoreOptions {
        keyspace,
        driver: Driver::Task,
        seed: Some(seed),
        segment_bytes: 4 << 10,
        min_snapshot_bytes: 2 << 10,
        ..StoreOptions::default()
    }
}

/// Counts by callers of all kinds until some time has passed, and ignores what fails.
async fn count(store: &Store) {
    let mut callers = JoinSet::new();
    for caller in 0..4_u8 {
        let handle = store.handle();
        callers.spawn(async move {
            for n in 0..40_u8 {
                let durability = if n % 3 == 0 { Durability::Fsync } else { Durability::Memory };
                let _ = handle.increment_at([caller, n % 16], n.into(), durability).await;
                sleep(Duration::from_millis(u64::from(caller) * 17)).await;
            }
        });
    }
    let session = store.open_session("client").unwrap();
    for sequence in 1..10 {
        let request = [("a", Operation::Add(1)), ("b", Operation::Add(2)), ("c", Operation::Add(3))];
        let handle = store.handle();
        let _ = handle.apply_in_session_at(session, sequence, request, Durability::Fsync).await;
    }
    while callers.join_next().await.is_some() {}
    let _ = store.close_session(session).await;
}

async fn end((store, keyspace): (Store, Keyspace)) {
    let _ = store.shutdown().await;
    keyspace.shutdown().await;
}

/// Runs several lives of a store on one thread: alone, with failures of the disk, and replicated.
async fn live(recorder: &Recorder, seed: u64) {
    let (disk, open) = (&recorder.disk, || Arc::new(recorder.clone()) as Arc<dyn Disk>);
    let opened = Store::open_on(open(), options(seed), |_| {}).await.unwrap();
    count(&opened.0).await;
    disk.fail_at(disk.operations() + seed, Fault::Error);
    count(&opened.0).await;
    end(opened).await;

    disk.restart_process();
    let opened = Store::open_on(open(), options(seed), |_| {}).await.unwrap();
    disk.fail_at(disk.operations() + 10 + seed, Fault::Crash);
    count(&opened.0).await;
    end(opened).await;

    disk.restart();
    for life in 1..3 {
        let options = options(seed + 1000 * life);
        let (recovered, mut held) =
            Store::recover_on(open(), options, Held::default(), |_| {}).await.unwrap();
        let sealed = recovered.seal("a", UNIX_EPOCH, &mut held).unwrap();
        let opened = sealed.start(held).await.unwrap();
        count(&opened.0).await;
        end(opened).await;
        disk.restart_process();
    }
}

/// Returns everything that a seed does on the disk.
fn operations(seed: u64) -> Vec<String> {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let recorder = Recorder::new(seed);
    runtime.block_on(live(&recorder, seed));
    std::mem::take(&mut *recorder.operations.lock().unwrap())
}

#[test]
fn a_task_is_all_that_a_store_needs_and_a_seed_determines_each_operation_on_the_disk() {
    let mut seen = Vec::new();
    for seed in 0..10 {
        let first = operations(seed);
        assert!(first.iter().any(|operation| operation.starts_with("rename snapshot.tmp")), "seed {seed}");
        let second = operations(seed);
        let differs = first.iter().zip(&second).position(|(first, second)| first != second);
        assert_eq!(differs.map(|at| (&first[at], &second[at])), None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(!seen.contains(&first), "seed {seed} is like another one");
        seen.push(first);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_sync_has_left_in_memory_only_is_not_served_after_a_kill() {
    for seed in 0..20 {
        let disk = MemoryDisk::new(seed);
        let open = |seed| Store::open_on(Arc::new(disk.clone()), options(seed), |_| {});
        let (store, _killed) = open(seed).await.unwrap();
        store.handle().increment_at("a", 1, Durability::Fsync).await.unwrap();
        // The write behind this is the round's, and then comes its sync.
        disk.fail_at(disk.operations() + 1, Fault::Error);
        store.handle().increment_at("a", 1, Durability::Fsync).await.unwrap_err();
        disk.restart_process();
        let (store, _lost) = open(seed + 1).await.unwrap();
        store.handle().increment_at("a", 5, Durability::Fsync).await.unwrap();
        disk.restart();
        let (store, keyspace) = open(seed + 2).await.unwrap();
        let value = store.handle().keyspace().value("a").await.unwrap();
        assert!(value == Some(6) || value == Some(7), "seed {seed}: {value:?}");
        end((store, keyspace)).await;
    }
}
