use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;

use super::super::{Committer, ReplicaWriter, RoundError};
use super::fake::{FakeSource, SHARDS};
use super::fake_columns::FakeColumns;
use crate::disk::{Disk, MemoryDisk};
use crate::error::{Damage, OpenError};
use crate::header::Identity;
use crate::header::tests::IDENTITY;
use crate::rebuild::{Rebuild, SortedShard};
use crate::record::{Opened, ShardEnd};
use crate::recovery::{self, Inspection};
use crate::replicas::{ColumnSink, Member, ReplicaKey, Replicas, SortedColumns, StoreId};
use crate::store::open::{Writers, lock, settle_log};
use crate::store::{Driver, StoreOptions};

/// Content of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) shards: Vec<SortedShard>,
    pub(super) columns: SortedColumns,
    pub(super) own: Option<ReplicaKey>,
    pub(super) members: BTreeSet<Member>,
}

/// Options that make a few operations cross segments and be worth a snapshot.
pub(super) fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 1500, min_snapshot_bytes: 600, ..StoreOptions::default() }
}

/// Store without a driver and actors.
pub(super) struct World {
    pub(super) committer: Committer<FakeSource, FakeColumns>,
    pub(super) source: FakeSource,
    pub(super) columns: FakeColumns,
    /// Replica that the store counts as, and its members.
    own: Option<ReplicaKey>,
    members: BTreeSet<Member>,
    /// States that have been written, and whether they may be on disk: the last acknowledged one comes first.
    pub(super) written: Vec<State>,
    has_failed: bool,
}

/// A step of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add(u8),
    Remove(u8),
    Reject,
    UseSession(u64),
    /// Sets the entry of a column to this number of operations.
    Column(u8, u64),
    Member(u8),
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
        Self::open_as(disk, accept_loss, None)
    }

    /// Opens the store on this disk, to replicate as this node if there is one.
    pub(super) fn open_as(
        disk: &MemoryDisk,
        accept_loss: bool,
        node: Option<&str>,
    ) -> Result<(Self, Option<Damage>), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let _lock = lock(&*disk)?;
        let failed = OpenError::disk("write");
        settle_log(&*disk).map_err(&failed)?;
        let (mut sink, shards) = (SortedColumns::default(), vec![SortedShard::default(); SHARDS]);
        let (writers, mut shards, ends, replicas, damage) = match recovery::inspect(&*disk, accept_loss)? {
            Inspection::Nothing(watermark) => {
                let identity = Identity { shards: u32::try_from(SHARDS).unwrap(), ..IDENTITY };
                let writers = Writers::create(&disk, &options(), identity, watermark).map_err(&failed)?;
                (writers, shards, vec![ShardEnd::default(); SHARDS], Replicas::default(), None)
            }
            Inspection::Store(inspected) => {
                let (rebuilt, replicas) =
                    recovery::replay(&*disk, &inspected, shards, &mut sink, Driver::Thread, &mut |_| {})?;
                let (shards, ends) = rebuilt.into_iter().map(|rebuilt| (rebuilt.shard, rebuilt.end)).unzip();
                let writers = Writers::resume(&disk, &options(), inspected.identity, &inspected, 1);
                (writers.map_err(&failed)?, shards, ends, replicas, inspected.damage)
            }
        };
        let Replicas { mut own, members, ends: mut column_ends } = replicas;
        let (found, before) = (shards.clone(), own.clone());
        let mut written =
            State { shards: found, columns: sink.clone(), own: before, members: members.clone() };
        let opened = node.map(|node| {
            let last = own.take().unwrap_or_else(|| ReplicaKey { node: "store".into(), incarnation: 7 });
            let new = ReplicaKey { node: node.into(), incarnation: last.incarnation + 1 };
            own = Some(new.clone());
            let sealed = seal(&mut shards, &last, &mut sink);
            column_ends.extend(sealed.clone().map(|sealed| (sealed, sink.totals(&last))));
            Opened { own: new, sealed }
        });
        let (source, columns) = (FakeSource::new(shards), FakeColumns::new(sink));
        let writer = ReplicaWriter::new(opened, members.clone(), column_ends, columns.clone());
        let mut committer = Committer::new(disk, writers, source.clone(), ends, writer);
        if damage.is_some() {
            committer.require_complete();
        }
        if written == State::default() {
            written.shards = vec![SortedShard::default(); SHARDS];
        }
        let written = vec![written];
        Ok((Self { committer, source, columns, own, members, written, has_failed: false }, damage))
    }

    /// Returns what the store holds now.
    pub(super) fn state(&self) -> State {
        let (own, members) = (self.own.clone(), self.members.clone());
        State { shards: self.source.state(), columns: self.columns.columns(), own, members }
    }

    /// Takes a step. Like the driver, it writes everything anew once the disk has failed.
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Add(name) => self.source.add(name, i64::from(name) - 3),
            Step::Remove(name) => self.source.remove(name),
            Step::Reject => self.source.reject(1),
            Step::UseSession(number) => self.source.use_session(number),
            Step::Column(name, operations) => self.columns.set(name, operations),
            Step::Member(n) => {
                let member = Member {
                    store: StoreId([n; 16]),
                    node: format!("node-{n}").into(),
                    is_mutual: n % 2 == 0,
                };
                self.members.insert(member.clone());
                self.committer.replicas.add_members(vec![member]);
            }
            Step::Round | Step::LargeRound => {
                self.source.set_paged(step == Step::LargeRound);
                self.round();
            }
            // Nothing but a rewrite follows a failure.
            Step::Snapshot | Step::SyncWatermark if self.has_failed => {}
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
        let state = self.state();
        self.written.push(state.clone());
        let done = if self.has_failed { self.rewrite() } else { self.commit() };
        match done {
            Ok(()) => {
                self.has_failed = false;
                self.written = vec![state];
            }
            Err(RoundError::Disk(_)) => self.has_failed = true,
            Err(RoundError::Source(error)) => panic!("{error}"),
        }
    }

    /// Commits a round.
    pub(super) fn commit(&mut self) -> Result<(), RoundError> {
        now(self.committer.round())
    }

    /// Writes everything anew.
    pub(super) fn rewrite(&mut self) -> Result<(), RoundError> {
        now(self.committer.rewrite())
    }

    fn snapshot_step(&mut self) {
        if self.committer.has_snapshot_step() {
            if now(self.committer.snapshot_step()).is_err() {
                self.committer.abandon_snapshot();
            }
        } else if self.committer.needs_snapshot() {
            self.has_failed |= self.committer.start_snapshot().is_err();
        }
    }
}

/// Returns what a future leads to that does not have to wait.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("what is asked answers at once")
}

/// Makes what the shards hold the column of a replica, if there is anything.
fn seal(shards: &mut [SortedShard], last: &ReplicaKey, sink: &mut SortedColumns) -> Option<ReplicaKey> {
    let is_empty = shards.iter().all(|shard| shard.counters.is_empty());
    for shard in shards {
        let counters = shard.take_counters();
        SortedShard::show(&counters, &mut |name, count| sink.merge(last, name, count));
        shard.sessions.clear();
    }
    (!is_empty).then(|| last.clone())
}

/// Returns the state that a disk leads to.
pub(super) fn recovered(disk: &MemoryDisk) -> Result<State, OpenError> {
    World::open(disk, false).map(|(mut world, _)| world.written.swap_remove(0))
}

/// Returns the state that a disk leads to, and changes nothing.
pub(super) fn read(disk: &MemoryDisk) -> Result<State, OpenError> {
    let (mut columns, shards) = (SortedColumns::default(), vec![SortedShard::default(); SHARDS]);
    match recovery::inspect(disk, false)? {
        Inspection::Nothing(_) => Ok(State { shards, ..State::default() }),
        Inspection::Store(inspected) => {
            let (rebuilt, replicas) =
                recovery::replay(disk, &inspected, shards, &mut columns, Driver::Task, &mut |_| {})?;
            let shards = rebuilt.into_iter().map(|rebuilt| rebuilt.shard).collect();
            Ok(State { shards, columns, own: replicas.own, members: replicas.members })
        }
    }
}
