//! Copies of disks: a copy of any moment recovers, and to the same state also behind a recovery that was interrupted.

use std::collections::BTreeMap;
use std::sync::Arc;

use counter_keyspace::{KeyspaceOptions, ShardTotals};
use counter_protocol::{Count, CounterName};
use counter_store::disk::{Fault, MemoryDisk};
use counter_store::{Driver, OpenError, ReplicaKey, Report, SortedColumns, Store, StoreOptions, read_on};
use futures_util::FutureExt;
use ractor_transport::NodeName;

use crate::linear::Counter;
use crate::oracle::Violation;
use crate::random::mix;
use crate::simulation::starting::{SHARDS, store_options};

/// A way to copy a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) seed: u64,
    /// It is copied as a power failure would leave it, and not as the end of a process would.
    pub(crate) is_power_failure: bool,
    /// Number of operations after which the first recovery of the copy ends.
    pub(crate) recovery_ends_after: u64,
}

/// Contents of a disk: the counters of the node itself, and the columns of all replicas.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    entries: BTreeMap<(Option<ReplicaKey>, CounterName), (Count, Option<u64>)>,
    totals: Vec<ShardTotals>,
}

impl Copy {
    /// Copies a disk, and recovers the copy: at once, and behind a recovery that a power failure interrupts.
    pub(crate) fn recover(self, disk: &MemoryDisk) -> Result<[Image; 2], Violation> {
        let copy = disk.copy(self.seed);
        if self.is_power_failure {
            copy.restart();
        }
        let image = Image::read(&copy)?;
        let again = copy.copy(mix(self.seed, 1));
        again.fail_at(self.recovery_ends_after, Fault::Crash);
        let options = StoreOptions {
            keyspace: KeyspaceOptions { shards: SHARDS, ..KeyspaceOptions::default() },
            seed: Some(self.seed),
            ..store_options()
        };
        // A task drives it, so it waits for nothing. Whether it ends before the crash makes no difference.
        let recovering =
            Store::recover_on(Arc::new(again.clone()), options, SortedColumns::default(), |_| {})
                .now_or_never();
        drop(recovering.ok_or("a recovery waits")?);
        again.restart();
        let second = Image::read(&again)?;
        // The end of a process leaves more than what is durable, and a power failure then takes some of it.
        if self.is_power_failure && image != second {
            return Err(format!("a copy recovers to {image:?}, and then to {second:?}"));
        }
        Ok([image, second])
    }
}

impl Image {
    fn read(disk: &MemoryDisk) -> Result<Self, Violation> {
        let mut entries = BTreeMap::new();
        let show = |replica: Option<&ReplicaKey>, entry: counter_keyspace::Entry<'_>| {
            let name = CounterName::new(entry.name).expect("it was a name before");
            entries.insert((replica.cloned(), name), (entry.count, entry.deadline_ms));
        };
        match read_on(Arc::new(disk.copy(0)), Driver::Task, false, &mut |_| {}, show) {
            Ok(Report { mut totals, .. }) => {
                // No store is as good as an empty one.
                totals.retain(|totals| *totals != ShardTotals::default());
                Ok(Self { entries, totals })
            }
            Err(OpenError::Absent) => Ok(Self::default()),
            Err(error) => Err(format!("a copy does not recover: {error}")),
        }
    }

    /// Returns the number of operations on a counter that a node has counted, in all of its lives.
    pub(crate) fn operations(&self, node: &NodeName, name: &CounterName) -> u128 {
        let of_name = self.entries.iter().filter(|((_, of), _)| of == name);
        let own = of_name.filter(|((replica, _), _)| {
            replica.as_ref().is_none_or(|replica| *replica.node == *node.as_str())
        });
        own.map(|(_, (count, _))| u128::from(count.operations)).sum()
    }

    /// Returns what the node's own table has of a counter.
    pub(crate) fn counter(&self, name: &CounterName) -> Option<Counter> {
        let (Count { value, operations }, deadline_ms) = *self.entries.get(&(None, name.clone()))?;
        Some(Counter { value, operations, deadline_ms })
    }
}
