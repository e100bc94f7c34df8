//! The part of opening a store that blocks.

use std::fmt::Debug;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use counter_keyspace::{Entry, Partitioner, SessionId, ShardBuilder};
use mutations::Mutation;

use crate::committer::{LogSize, WatermarkFile};
use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::files::{self, Files};
use crate::frame::Tip;
use crate::header::{Header, Identity};
use crate::log::Log;
use crate::random::Random;
use crate::rebuild::{Rebuild, SortedShard};
use crate::record::ShardEnd;
use crate::recovery::{self, Inspected, Inspection, Progress, Rebuilt};
use crate::replicas::{ColumnSink, Replicas};
use crate::watermark::Watermark;

use super::StoreOptions;

/// Store whose files are read and ready to be written to.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) lock: Box<dyn Debug + Send + Sync>,
    pub(crate) writers: Writers,
    pub(crate) shards: Vec<ShardBuilder>,
    pub(crate) ends: Vec<ShardEnd>,
    pub(crate) replicas: Replicas,
    pub(crate) needs_complete: bool,
    pub(crate) damage: Option<Damage>,
    /// Numbers to be drawn from now on.
    pub(crate) random: Random,
}

/// State that was recovered, and how it is distributed.
struct State {
    identity: Identity,
    shards: Vec<ShardBuilder>,
    ends: Vec<ShardEnd>,
    replicas: Replicas,
    /// It is not distributed as the log says.
    is_new: bool,
}

impl Opened {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        options: &StoreOptions,
        sink: &mut dyn ColumnSink,
        mut progress: impl FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let lock = lock(&*disk)?;
        settle_log(&*disk).map_err(OpenError::disk("make the log durable"))?;
        match recovery::inspect(&*disk, options.accept_loss)? {
            Inspection::Nothing(watermark) => Self::create(disk, lock, options, watermark),
            Inspection::Store(inspected) => {
                Self::resume(disk, lock, options, &inspected, sink, &mut progress)
            }
        }
    }

    /// Creates a store in a directory without one.
    fn create(
        disk: Arc<dyn Disk>,
        lock: Box<dyn Debug + Send + Sync>,
        options: &StoreOptions,
        watermark: Option<Watermark>,
    ) -> Result<Self, OpenError> {
        let random_numbers = OpenError::disk("get random numbers");
        let mut random = Random::new(options.seed);
        let (hash_seeds, partitioner) =
            new_partitioner(&mut random, options.keyspace.shards).map_err(&random_numbers)?;
        let store = watermark.map_or_else(|| random.bytes(), |watermark| Ok(watermark.store));
        let store = store.map_err(&random_numbers)?;
        let identity = identity(store, hash_seeds, &partitioner);
        let shards = (0..partitioner.shards().get()).map(|n| ShardBuilder::new(&partitioner, n));
        let shards: Vec<_> = shards.collect();
        let ends = vec![ShardEnd::default(); shards.len()];
        let writers = Writers::create(&disk, options, identity, watermark);
        let writers = writers.map_err(OpenError::disk("create the store"))?;
        let replicas = Replicas::default();
        let (needs_complete, damage) = (false, None);
        Ok(Self { disk, lock, writers, shards, ends, replicas, needs_complete, damage, random })
    }

    /// Creates a store that holds these counters once its first round is durable.
    pub(crate) fn load(
        disk: Arc<dyn Disk>,
        options: &StoreOptions,
        hash_seeds: [u64; 4],
        partitioner: &Partitioner,
        shards: Vec<ShardBuilder>,
    ) -> Result<Self, OpenError> {
        let lock = lock(&*disk)?;
        let create = OpenError::disk("create the store");
        let mut random = Random::new(options.seed);
        let identity = identity(random.bytes().map_err(&create)?, hash_seeds, partitioner);
        let ends = vec![ShardEnd::default(); shards.len()];
        let writers = Writers::create(&disk, options, identity, None).map_err(&create)?;
        let replicas = Replicas::default();
        let (needs_complete, damage) = (true, None);
        Ok(Self { disk, lock, writers, shards, ends, replicas, needs_complete, damage, random })
    }

    fn resume(
        disk: Arc<dyn Disk>,
        lock: Box<dyn Debug + Send + Sync>,
        options: &StoreOptions,
        inspected: &Inspected,
        sink: &mut dyn ColumnSink,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let mut random = Random::new(options.seed);
        let State { identity, shards, ends, replicas, is_new } =
            recover(&*disk, options, &mut random, inspected, sink, progress)?;
        let writers = random
            .number()
            .and_then(|fresh_checksum| Writers::resume(&disk, options, identity, inspected, fresh_checksum));
        let writers = writers.map_err(OpenError::disk("make the recovered log durable"))?;
        let needs_complete = is_new || inspected.damage.is_some();
        let damage = inspected.damage.clone();
        Ok(Self { disk, lock, writers, shards, ends, replicas, needs_complete, damage, random })
    }
}

/// Files that are written to.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(crate) log: Log,
    pub(crate) watermark: WatermarkFile,
    pub(crate) size: LogSize,
}

impl Writers {
    /// Creates the files of a new store.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        options: &StoreOptions,
        identity: Identity,
        watermark: Option<Watermark>,
    ) -> io::Result<Self> {
        let first = Watermark { store: identity.store, writes: 0, durable: Tip::default() };
        let last = watermark.unwrap_or(first);
        // The watermark comes first: without it, a segment that cannot be read would not be told from none.
        let watermark = WatermarkFile::start(&**disk, last)?;
        // Each life writes the watermark. So those that have left nothing else have had smaller numbers, and have
        // opened other sessions.
        let header = Header { identity, incarnation: last.writes + 1, after: Tip::default() };
        let number = 1 + Files::of(&disk.list()?).segments.last().copied().unwrap_or(0);
        let log = Log::start(disk.clone(), options.segment_bytes, header, number, false)?;
        Ok(Self { log, watermark, size: LogSize::new(options.min_snapshot_bytes, 0, 0) })
    }

    /// Goes on behind what has been recovered, which is durable, in a new segment. If something is missing, what
    /// follows is told from it by `fresh_checksum`, a random number.
    pub(crate) fn resume(
        disk: &Arc<dyn Disk>,
        options: &StoreOptions,
        identity: Identity,
        inspected: &Inspected,
        fresh_checksum: u64,
    ) -> io::Result<Self> {
        let after = inspected.after(fresh_checksum);
        let last = Watermark { store: identity.store, writes: 0, durable: Tip::default() };
        let mut last = inspected.watermark.unwrap_or(last);
        if inspected.damage.is_none() {
            last.durable = inspected.plan.end;
        }
        let watermark = WatermarkFile::start(&**disk, last)?;
        let header = Header { identity, incarnation: inspected.incarnation + 1, after };
        let number = inspected.next_segment();
        let log = Log::start(disk.clone(), options.segment_bytes, header, number, false)?;
        let size = LogSize::new(options.min_snapshot_bytes, inspected.log_bytes, inspected.snapshot_bytes);
        Ok(Self { log, watermark, size })
    }
}

/// Builds the state, distributed as it was, or anew if the number of shards or the hash function has changed.
fn recover(
    disk: &dyn Disk,
    options: &StoreOptions,
    random: &mut Random,
    inspected: &Inspected,
    sink: &mut dyn ColumnSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<State, OpenError> {
    let (shards, driver) = (options.keyspace.shards, options.driver);
    let old = inspected.identity;
    let old_shards = usize::try_from(old.shards).ok().and_then(NonZeroUsize::new);
    let old_shards = old_shards.ok_or(OpenError::Lost(Damage::Malformed))?;
    let partitioner = Partitioner::new(old.hash_seeds, old_shards);
    if old_shards == shards && partitioner.test_vector() == old.hash_test {
        let builders = (0..shards.get()).map(|n| ShardBuilder::new(&partitioner, n)).collect();
        let (rebuilt, replicas) = recovery::replay(disk, inspected, builders, sink, driver, progress)?;
        let (shards, ends) = rebuilt.into_iter().map(|rebuilt| (rebuilt.shard, rebuilt.end)).unzip();
        return Ok(State { identity: old, shards, ends, replicas, is_new: false });
    }
    let sorted = vec![SortedShard::default(); old_shards.get()];
    let (rebuilt, replicas) = recovery::replay(disk, inspected, sorted, sink, driver, progress)?;
    let (hash_seeds, partitioner) =
        new_partitioner(random, shards).map_err(OpenError::disk("get random numbers"))?;
    let floor = SessionId { incarnation: inspected.incarnation + 1, number: 0 };
    let shards = distribute(rebuilt, &partitioner, floor)?;
    let ends = vec![ShardEnd { session_floor: floor, ..ShardEnd::default() }; shards.len()];
    let identity = identity(old.store, hash_seeds, &partitioner);
    Ok(State { identity, shards, ends, replicas, is_new: true })
}

/// Distributes counters over other shards. All sessions end: their records belong to the shards that there were.
fn distribute(
    rebuilt: Vec<Rebuilt<SortedShard>>,
    partitioner: &Partitioner,
    floor: SessionId,
) -> Result<Vec<ShardBuilder>, OpenError> {
    let shards = 0..partitioner.shards().get();
    let mut builders: Vec<_> = shards.map(|n| ShardBuilder::new(partitioner, n)).collect();
    let malformed = || OpenError::Lost(Damage::Malformed);
    let (mut rejected, mut clock_ms) = (0, 0);
    for Rebuilt { shard, .. } in rebuilt {
        rejected += shard.rejected_operations;
        clock_ms = clock_ms.max(shard.clock_ms);
        for (name, (count, deadline_ms)) in shard.counters {
            let key = partitioner.key(&name).map_err(|_| malformed())?;
            let builder = &mut builders[partitioner.shard_of(key)];
            if !Rebuild::insert(builder, Entry { name: &name, count, deadline_ms }) {
                return Err(malformed());
            }
        }
    }
    builders[0].set_rejected(rejected);
    for builder in &mut builders {
        builder.set_clock(clock_ms);
        builder.set_session_floor(floor);
    }
    Ok(builders)
}

/// Locks the directory.
pub(crate) fn lock(disk: &dyn Disk) -> Result<Box<dyn Debug + Send + Sync>, OpenError> {
    disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => OpenError::Disk { action: "lock the directory", source: error },
    })
}

/// Makes the log durable, and lets it be read from the disk.
///
/// If the process before was killed, only the system may have its end. If a sync had failed before, the system reads
/// back what the disk does not hold, and another sync succeeds without it: so what it has in memory is forgotten.
pub(crate) fn settle_log(disk: &dyn Disk) -> io::Result<()> {
    if Mutation::ServeUnsyncedLog.is_planted() {
        return Ok(());
    }
    for number in Files::of(&disk.list()?).segments {
        let mut segment = disk.open(&files::segment(number))?;
        segment.sync()?;
        segment.forget_cached()?;
    }
    disk.sync_dir()
}

/// Draws the keys of a hash.
pub(crate) fn new_partitioner(
    random: &mut Random,
    shards: NonZeroUsize,
) -> io::Result<([u64; 4], Partitioner)> {
    let mut seeds = [0; 4];
    for seed in &mut seeds {
        *seed = random.number()?;
    }
    Ok((seeds, Partitioner::new(seeds, shards)))
}

fn identity(store: [u8; 16], hash_seeds: [u64; 4], partitioner: &Partitioner) -> Identity {
    Identity {
        store,
        hash_seeds,
        hash_test: partitioner.test_vector(),
        shards: u32::try_from(partitioner.shards().get()).expect("there are fewer shards"),
    }
}
