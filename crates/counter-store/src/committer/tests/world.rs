use std::sync::Arc;

use super::super::{Committer, RoundError};
use super::fake::{FakeSource, SHARDS};
use crate::disk::{Disk, MemoryDisk};
use crate::error::{Damage, OpenError};
use crate::header::Identity;
use crate::header::tests::IDENTITY;
use crate::rebuild::SortedShard;
use crate::record::ShardEnd;
use crate::recovery::{self, Inspection};
use crate::store::StoreOptions;
use crate::store::open::{Writers, lock};

pub(super) type State = Vec<SortedShard>;

/// Options that make a few operations cross segments and be worth a snapshot.
pub(super) fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 1500, min_snapshot_bytes: 600, ..StoreOptions::default() }
}

/// Store without threads and actors.
pub(super) struct World {
    pub(super) committer: Committer<FakeSource>,
    pub(super) source: FakeSource,
    /// States that have been written, and whether they may be on disk: the last acknowledged one comes first.
    pub(super) written: Vec<State>,
    has_failed: bool,
}

/// What a history consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add(u8),
    Remove(u8),
    Reject,
    UseSession(u64),
    Round,
    /// A round of the page by page kind.
    LargeRound,
    /// Starts a snapshot if none is under way, or takes its next step.
    Snapshot,
    PrepareSpare,
    SyncWatermark,
}

impl World {
    /// Opens the store on this disk. Returns the damage, if some was accepted.
    pub(super) fn open(disk: &MemoryDisk, accept_loss: bool) -> Result<(Self, Option<Damage>), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let _lock = lock(&*disk)?;
        let failed = OpenError::disk("write");
        let (writers, states, ends, damage) = match recovery::inspect(&*disk, accept_loss)? {
            Inspection::Nothing(watermark) => {
                let identity = Identity { shards: u32::try_from(SHARDS).unwrap(), ..IDENTITY };
                let writers = Writers::create(&disk, &options(), identity, watermark).map_err(&failed)?;
                (writers, vec![SortedShard::default(); SHARDS], vec![ShardEnd::default(); SHARDS], None)
            }
            Inspection::Store(inspected) => {
                let shards = vec![SortedShard::default(); SHARDS];
                let rebuilt = recovery::replay(&*disk, &inspected, shards, &mut |_| {})?;
                let ends = rebuilt.iter().map(|rebuilt| rebuilt.end).collect();
                let states = rebuilt.into_iter().map(|rebuilt| rebuilt.shard).collect();
                let writers = Writers::resume(&disk, &options(), inspected.identity, &inspected);
                (writers.map_err(&failed)?, states, ends, inspected.damage)
            }
        };
        let source = FakeSource::new(states);
        let mut committer = Committer::new(disk, writers, source.clone(), ends);
        if damage.is_some() {
            committer.require_complete();
        }
        Ok((Self { committer, written: vec![source.state()], source, has_failed: false }, damage))
    }

    /// Takes a step. Like the driver, it writes everything anew once the disk has failed.
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Add(name) => self.source.add(name, i64::from(name) - 3),
            Step::Remove(name) => self.source.remove(name),
            Step::Reject => self.source.reject(1),
            Step::UseSession(number) => self.source.use_session(number),
            Step::Round | Step::LargeRound => {
                self.source.set_paged(step == Step::LargeRound);
                self.round();
            }
            Step::Snapshot if self.has_failed => {}
            Step::Snapshot => self.snapshot_step(),
            Step::PrepareSpare => _ = self.committer.prepare_spare(),
            Step::SyncWatermark => self.has_failed |= self.committer.sync_watermark().is_err(),
        }
    }

    /// Takes all steps of a snapshot.
    pub(super) fn snapshot(&mut self) {
        self.committer.start_snapshot().unwrap();
        while self.committer.job.is_some() {
            self.snapshot_step();
            self.round();
        }
    }

    /// Commits, and notes which states may be found on disk from now on.
    pub(super) fn round(&mut self) {
        let state = self.source.state();
        self.written.push(state.clone());
        let done = if self.has_failed { self.committer.rewrite() } else { self.committer.round() };
        match done {
            Ok(()) => {
                self.has_failed = false;
                self.written = vec![state];
            }
            Err(RoundError::Disk(_)) => self.has_failed = true,
            Err(RoundError::Source(error)) => panic!("{error}"),
        }
    }

    fn snapshot_step(&mut self) {
        if self.committer.has_snapshot_step() {
            if self.committer.snapshot_step().is_err() {
                self.committer.abandon_snapshot();
            }
        } else if self.committer.needs_snapshot() {
            self.has_failed |= self.committer.start_snapshot().is_err();
        }
    }
}

/// Returns the state that a disk leads to.
pub(super) fn recovered(disk: &MemoryDisk) -> Result<State, OpenError> {
    World::open(disk, false).map(|(world, _)| world.source.state())
}

/// Returns the state that a disk leads to, and changes nothing.
pub(super) fn read(disk: &MemoryDisk) -> Result<State, OpenError> {
    match recovery::inspect(disk, false)? {
        Inspection::Nothing(_) => Ok(vec![SortedShard::default(); SHARDS]),
        Inspection::Store(inspected) => {
            let rebuilt =
                recovery::replay(disk, &inspected, vec![SortedShard::default(); SHARDS], &mut |_| {})?;
            Ok(rebuilt.into_iter().map(|rebuilt| rebuilt.shard).collect())
        }
    }
}
