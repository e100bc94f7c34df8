use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use aggregator_actor::AggregatorHandle;
use ahash::RandomState;
use counter_protocol::{AggregatedStats, Count, CounterName};
use futures_util::future::join_all;
use ractor::Actor;
use ractor_outbox::Outbox;
use ractor_supervision::{Lease, Options, StateSlot, SupervisedActor, SupervisorError, SupervisorHandle};

use crate::clock::{Clock, SystemClock};
use crate::deltas::Deltas;
use crate::feed::Feed;
use crate::follower::FeedOwner;
use crate::handle::KeyspaceHandle;
use crate::key::{Key, shard_of};
use crate::recovery::RecoveredShard;
use crate::shard::{ShardActor, ShardMessage, ShardState};
use crate::table::{OverflowPolicy, Table};

/// Deadline for the shards to apply the operations they have accepted, at a shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Named counters over supervised shards.
#[derive(Debug)]
pub struct Keyspace {
    supervisor: SupervisorHandle,
    handle: KeyspaceHandle,
    states: Vec<StateSlot<ShardState>>,
}

/// Size and restart policy of a keyspace.
#[derive(Clone, Debug)]
pub struct KeyspaceOptions {
    /// Number of shards that share the names.
    pub shards: NonZeroUsize,
    /// Maximum number of different names that wait for one shard in one handle.
    pub max_pending_names: NonZeroUsize,
    /// Maximum total length of these names, in bytes. One name may wait whatever its length.
    pub max_pending_name_bytes: usize,
    /// Rule for operations that take a value out of the range of `i64`.
    pub overflow: OverflowPolicy,
    /// Number of counters at which no further one is created; operations that would are rejected, as
    /// [`Outcome::Full`](crate::Outcome::Full) if they have outcomes. Approximate, because each shard has an equal
    /// part of it, but never exceeded.
    pub max_names: Option<NonZeroUsize>,
    /// Seeds of the hash that assigns names to shards; random ones if `None`. Keep them secret from whoever chooses
    /// names, who could otherwise choose them to collide.
    pub hash_seeds: Option<[u64; 4]>,
    /// Source of time for deadlines.
    pub clock: Arc<dyn Clock>,
    /// Refuses operations that need one owner, because others hold copies of the counters: removal, setting, bounds
    /// and expiry.
    pub is_replicated: bool,
    /// Options of the supervisor.
    pub supervision: Options,
}

/// Aggregator that a keyspace's shards report to, and the name to report under. Aggregators nest: one can collect
/// from keyspaces and counters alike.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// Name of the keyspace at the aggregator.
    pub keyspace: String,
    /// Aggregator to report to.
    pub aggregator: AggregatorHandle,
}

/// Error of [`Keyspace::resume_from`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The shards are not all shards of one keyspace, in order.
    #[error("recovered shards are not all shards of one keyspace in order")]
    Incomplete,
    /// A shard did not start.
    #[error(transparent)]
    Start(#[from] SupervisorError),
}

impl Default for KeyspaceOptions {
    /// One shard per core, and 16,384 pending names of 4 MiB in all.
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_pending_names: NonZeroUsize::new(1 << 14).expect("it is not zero"),
            max_pending_name_bytes: 4 << 20,
            overflow: OverflowPolicy::Reject,
            max_names: None,
            hash_seeds: None,
            is_replicated: false,
            clock: Arc::new(SystemClock::default()),
            supervision: Options::default(),
        }
    }
}

impl Keyspace {
    /// Starts an empty keyspace.
    ///
    /// # Errors
    /// [`SupervisorError`] if a shard does not start.
    pub async fn start(options: KeyspaceOptions) -> Result<Self, SupervisorError> {
        Self::start_with(options, ShardActor, None).await
    }

    /// Starts an empty keyspace with custom shard actors, which reports to an aggregator if there is one.
    ///
    /// # Errors
    /// [`SupervisorError`] if a shard does not start.
    pub async fn start_with<A>(
        options: KeyspaceOptions,
        actor: A,
        reporting: Option<Reporting>,
    ) -> Result<Self, SupervisorError>
    where
        A: Actor<Msg = ShardMessage, Arguments = Lease<ShardState>> + Clone,
    {
        Self::resume_with(options, actor, reporting, []).await
    }

    /// Starts a keyspace with these counters. If several have the same name, the last one counts.
    ///
    /// # Errors
    /// [`SupervisorError`] if a shard does not start.
    pub async fn resume(
        options: KeyspaceOptions,
        counters: impl IntoIterator<Item = (CounterName, Count)>,
    ) -> Result<Self, SupervisorError> {
        Self::resume_with(options, ShardActor, None, counters).await
    }

    /// Starts a keyspace with these counters and custom shard actors, which reports to an aggregator if there is one.
    ///
    /// # Errors
    /// [`SupervisorError`] if a shard does not start.
    pub async fn resume_with<A>(
        options: KeyspaceOptions,
        actor: A,
        reporting: Option<Reporting>,
        counters: impl IntoIterator<Item = (CounterName, Count)>,
    ) -> Result<Self, SupervisorError>
    where
        A: Actor<Msg = ShardMessage, Arguments = Lease<ShardState>> + Clone,
    {
        let hasher = hasher(options.hash_seeds);
        let mut tables: Vec<_> = (0..options.shards.get()).map(|_| Table::new(options.overflow)).collect();
        for (name, count) in counters {
            let key = Key::of(&hasher, &name);
            let shard = shard_of(key, tables.len());
            tables[shard].put(key, count, None);
        }
        let states = tables.into_iter().map(ShardState::from);
        Self::start_shards(options, actor, reporting, hasher, states).await
    }

    /// Starts a keyspace with the shards that a [`ShardBuilder`](crate::ShardBuilder) each has built, in order. Their
    /// number and hash seeds replace those of the options. Returns a feed, too: it has exactly the state of these
    /// shards, and its first round has what has changed since.
    ///
    /// # Errors
    /// [`ResumeError`].
    pub async fn resume_from(
        options: KeyspaceOptions,
        shards: Vec<RecoveredShard>,
    ) -> Result<(Self, Feed), ResumeError> {
        Self::resume_from_with(options, ShardActor, None, shards).await
    }

    /// Starts a keyspace as [`resume_from`](Self::resume_from) does, with custom shard actors, which reports to an
    /// aggregator if there is one.
    ///
    /// # Errors
    /// [`ResumeError`].
    pub async fn resume_from_with<A>(
        mut options: KeyspaceOptions,
        actor: A,
        reporting: Option<Reporting>,
        shards: Vec<RecoveredShard>,
    ) -> Result<(Self, Feed), ResumeError>
    where
        A: Actor<Msg = ShardMessage, Arguments = Lease<ShardState>> + Clone,
    {
        let seeds = shards.first().ok_or(ResumeError::Incomplete)?.hash_seeds;
        let expected = |(n, shard): (usize, &RecoveredShard)| {
            shard.place == (n, shards.len()) && shard.hash_seeds == seeds
        };
        options.shards = NonZeroUsize::new(shards.len()).ok_or(ResumeError::Incomplete)?;
        options.hash_seeds = Some(seeds);
        if !shards.iter().enumerate().all(expected) {
            return Err(ResumeError::Incomplete);
        }
        let owners: Vec<_> = shards.iter().map(|_| FeedOwner::default()).collect();
        let states = shards.into_iter().zip(&owners).map(|(shard, owner)| {
            let mut state = shard.into_state(options.overflow);
            state.follow_up_to_date(owner.id());
            state
        });
        let states: Vec<_> = states.collect();
        let keyspace =
            Self::start_shards(options, actor, reporting, hasher(Some(seeds)), states.into_iter()).await?;
        let feed = Feed::new(&keyspace.handle, owners.into_iter());
        Ok((keyspace, feed))
    }

    async fn start_shards<A>(
        options: KeyspaceOptions,
        actor: A,
        reporting: Option<Reporting>,
        hasher: RandomState,
        states: impl Iterator<Item = ShardState>,
    ) -> Result<Self, SupervisorError>
    where
        A: Actor<Msg = ShardMessage, Arguments = Lease<ShardState>> + Clone,
    {
        let empty = || Deltas::bounded(options.max_pending_names, options.max_pending_name_bytes);
        let max_names = options.max_names.map_or(usize::MAX, |max| max.get() / options.shards);
        let shards: Vec<_> = states
            .enumerate()
            .map(|(n, mut state)| {
                state.set_clock(Arc::clone(&options.clock));
                state.set_max_names(max_names);
                shard(n, actor.clone(), state, empty(), reporting.clone())
            })
            .collect();
        let outboxes = shards.iter().map(SupervisedActor::outbox).collect();
        let states = shards.iter().map(SupervisedActor::state).collect();
        let specs = shards.into_iter().map(Into::into).collect();
        let supervisor = SupervisorHandle::start(options.supervision, specs).await?;
        let handle =
            KeyspaceHandle::new(outboxes, hasher, supervisor.actor().get_cell(), options.is_replicated);
        Ok(Self { supervisor, handle, states })
    }

    /// Returns a handle with outboxes of its own.
    #[must_use]
    pub fn handle(&self) -> KeyspaceHandle {
        self.handle.clone()
    }

    /// Returns the supervisor, to inspect the shards or to subscribe to restarts.
    #[must_use]
    pub const fn supervisor(&self) -> &SupervisorHandle {
        &self.supervisor
    }

    /// Ends the keyspace at once, as the end of its process would. Handles return errors, and what they hold is lost.
    pub async fn kill(self) {
        let supervisor = self.supervisor.actor();
        supervisor.kill();
        // Without a deadline there is no error.
        let _ = supervisor.wait(None).await;
        self.handle.shards.iter().for_each(Outbox::close);
    }

    /// Stops the shards, waits until all have stopped, and returns the final statistics.
    ///
    /// Handles return errors from now on. Every operation that was accepted before is applied first, even if its
    /// shard crashes meanwhile. The exception is a shard that has not applied all of them within 5 seconds, or whose
    /// supervisor has given up: it is [`unanswered`](AggregatedStats::unanswered), as `shard 0` and so on, and its
    /// counters are missing.
    pub async fn shutdown(self) -> AggregatedStats {
        let supervisor = &self.supervisor;
        let drained = self.handle.shards.iter().enumerate().map(|(n, shard)| async move {
            let stats = supervisor.drain(shard, DRAIN_DEADLINE, ShardMessage::GetStats).await;
            stats.unwrap_or_else(|| AggregatedStats {
                unanswered: [CounterName::new(format!("shard {n}")).expect("it is short")].into(),
                ..AggregatedStats::default()
            })
        });
        let stats = join_all(drained).await.into_iter().collect();
        self.supervisor.shutdown().await;
        stats
    }

    /// Shuts the keyspace down and returns the shards' tables, in order of shard.
    ///
    /// # Errors
    /// The final statistics if a shard has not applied everything, or has not stopped.
    pub async fn into_tables(mut self) -> Result<Vec<Table>, AggregatedStats> {
        let states = mem::take(&mut self.states);
        let stats = self.shutdown().await;
        let tables = states.iter().map(|state| Some(state.try_lease()?.take_table()));
        match tables.collect() {
            Some(tables) if stats.unanswered.is_empty() => Ok(tables),
            _ => Err(stats),
        }
    }
}

fn hasher(seeds: Option<[u64; 4]>) -> RandomState {
    seeds.map_or_else(RandomState::new, |[a, b, c, d]| RandomState::with_seeds(a, b, c, d))
}

/// Returns a shard for the supervisor to start. Each incarnation registers with the aggregator, if there is one.
fn shard<A>(
    n: usize,
    actor: A,
    state: ShardState,
    empty: Deltas,
    reporting: Option<Reporting>,
) -> SupervisedActor<A, ShardState, Deltas>
where
    A: Actor<Msg = ShardMessage, Arguments = Lease<ShardState>> + Clone,
{
    let shard = SupervisedActor::new(format!("shard {n}"), move || actor.clone(), state, empty);
    match reporting {
        None => shard,
        Some(Reporting { keyspace, aggregator }) => shard.on_start(move |incarnation| {
            let (name, aggregator) = (format!("{keyspace} shard {n}"), aggregator.clone());
            // Registers before the outboxes are redirected: a caller that has an answer from the shard finds it at
            // the aggregator as well.
            async move { Ok(aggregator.register_group(name, incarnation.get_derived()).await?) }
        }),
    }
}
