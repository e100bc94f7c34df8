use std::time::Duration;

use counter_keyspace::KeyspaceOptions;

/// Guarantee of an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The operation is on its way to its shard. A value that was read may be handed out again after a crash.
    Memory,
    /// The operation is on disk.
    #[default]
    Fsync,
}

/// Behaviour of the counters while the disk fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDiskFailure {
    /// It continues in memory. Operations that wait for the disk fail.
    #[default]
    Continue,
    /// Operations through a [`StoreHandle`](crate::StoreHandle) are refused until the state is on disk again.
    Stop,
}

/// Threads or tasks that recover a store and commit its rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Threads of its own: nothing of the caller's runtime waits for the disk.
    #[default]
    Thread,
    /// A task of the caller's runtime, which blocks while the disk is at work. For disks that never block, as those of
    /// simulations: on a current-thread runtime whose time is paused, everything happens in one order.
    Task,
}

/// Options of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Options of the keyspace. Its hash seeds are those of the store. If its number of shards is not that of the
    /// store, all counters are distributed anew, and all sessions end.
    pub keyspace: KeyspaceOptions,
    /// Guarantee of operations that do not say otherwise.
    pub durability: Durability,
    /// Time between rounds that nobody waits for: what a crash may cost at [`Durability::Memory`].
    pub round_interval: Duration,
    /// Behaviour of the counters while the disk fails.
    pub on_disk_failure: OnDiskFailure,
    /// Maximum number of sessions that a client has open.
    pub max_sessions: usize,
    /// Thread or task that drives the store.
    pub driver: Driver,
    /// Seed of the random numbers that are drawn: the store's identity and hash seeds when it is created, and the
    /// incarnation when it is opened to replicate. With `None` they are the system's, as they have to be wherever names
    /// come from outside, or another store is to be another one.
    pub seed: Option<u64>,
    /// Opens what is provably consistent if something is missing.
    pub accept_loss: bool,
    /// Length of a segment of the log, in bytes. One is reserved ahead.
    pub segment_bytes: u64,
    /// Minimum length of a log that a snapshot is worth, in bytes.
    pub min_snapshot_bytes: u64,
}

impl Default for StoreOptions {
    /// Rounds every 100 ms, segments of 16 MiB, a snapshot from 64 MiB on, and 64 sessions for each client.
    fn default() -> Self {
        Self {
            keyspace: KeyspaceOptions::default(),
            durability: Durability::default(),
            round_interval: Duration::from_millis(100),
            on_disk_failure: OnDiskFailure::default(),
            max_sessions: 64,
            driver: Driver::default(),
            seed: None,
            accept_loss: false,
            segment_bytes: 16 << 20,
            min_snapshot_bytes: 64 << 20,
        }
    }
}
