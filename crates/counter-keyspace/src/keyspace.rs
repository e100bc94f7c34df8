use std::num::NonZeroUsize;

use aggregator_actor::AggregatorHandle;
use ahash::RandomState;
use counter_protocol::AggregatedStats;
use ractor::Actor;
use ractor_outbox::Outbox;
use ractor_supervision::{ChildSpec, Home, Options, OwnedTask, SupervisorError, SupervisorHandle};

use crate::{Deltas, KeyspaceHandle, ShardActor, ShardArguments, ShardLife, ShardMessage};

/// Named counters over supervised shards.
#[derive(Debug)]
pub struct Keyspace {
    supervisor: SupervisorHandle,
    handle: KeyspaceHandle,
    _closer: OwnedTask,
}

/// The size of a keyspace, and how it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyspaceOptions {
    /// How many shards share the names.
    pub shards: NonZeroUsize,
    /// How many different names wait for one shard in one handle, at most.
    pub names_waiting: NonZeroUsize,
    /// Maximum length of these names in all, in bytes. One name may wait whatever its length.
    pub name_bytes_waiting: usize,
    /// The supervisor's options.
    pub supervision: Options,
}

/// To whom a keyspace's shards report, and under which name. Aggregators nest: one can collect from keyspaces and
/// counters alike.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// What the aggregator calls the keyspace.
    pub keyspace: String,
    /// The aggregator.
    pub aggregator: AggregatorHandle,
}

impl Default for KeyspaceOptions {
    /// As many shards as the machine has cores; 16,384 names of 4 MiB in all waiting.
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            names_waiting: NonZeroUsize::new(1 << 14).expect("it is not zero"),
            name_bytes_waiting: 4 << 20,
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

    /// Starts an empty keyspace whose shards are actors of your own, and which an aggregator may know.
    ///
    /// # Errors
    /// [`SupervisorError`] if a shard does not start.
    pub async fn start_with<A>(
        options: KeyspaceOptions,
        actor: A,
        reporting: Option<Reporting>,
    ) -> Result<Self, SupervisorError>
    where
        A: Actor<Msg = ShardMessage, Arguments = ShardArguments> + Clone,
    {
        let empty = Deltas::bounded(options.names_waiting, options.name_bytes_waiting);
        let shards: Vec<_> = (0..options.shards.get()).map(|_| Outbox::supervised(empty.clone())).collect();
        let specs = shards
            .iter()
            .enumerate()
            .map(|(n, outbox)| shard(n, actor.clone(), outbox.clone(), reporting.clone()));
        let supervisor = SupervisorHandle::spawn(options.supervision, specs.collect()).await?;
        let handle = KeyspaceHandle::new(shards, RandomState::new());
        let closer = tokio::spawn({
            let (supervisor, handle) = (supervisor.actor().clone(), handle.clone());
            async move {
                let _ = supervisor.wait(None).await;
                handle.close();
            }
        });
        Ok(Self { supervisor, handle, _closer: closer.into() })
    }

    /// A handle with outboxes of its own.
    #[must_use]
    pub fn handle(&self) -> KeyspaceHandle {
        self.handle.clone()
    }

    /// The supervisor, to see the shards or to subscribe to restarts.
    #[must_use]
    pub const fn supervisor(&self) -> &SupervisorHandle {
        &self.supervisor
    }

    /// Stops the shards, waits until all are gone, and returns the final statistics.
    ///
    /// Handles return errors from now on. Every operation that was accepted before is applied first, also if its shard
    /// crashes meanwhile. The exception is a shard that has not applied all of them within 5 seconds, or whose keyspace
    /// has given up: it is [`unanswered`](AggregatedStats::unanswered), as `shard 0` and so on, and its counters are
    /// missing.
    pub async fn shutdown(self) -> AggregatedStats {
        let stats = self.handle.drain(self.supervisor.actor()).await;
        self.supervisor.shutdown().await;
        stats
    }
}

/// A shard: its table survives, and its handles' outboxes follow it.
fn shard<A>(
    n: usize,
    actor: A,
    outbox: Outbox<Deltas, ShardMessage>,
    reporting: Option<Reporting>,
) -> ChildSpec
where
    A: Actor<Msg = ShardMessage, Arguments = ShardArguments> + Clone,
{
    let (home, closed) = (Home::new(ShardLife::default()), outbox.clone());
    let spec = ChildSpec::new(format!("shard {n}"), move |supervisor| {
        let (home, actor) = (home.clone(), actor.clone());
        let (outbox, reporting) = (outbox.clone(), reporting.clone());
        async move {
            let arguments = ShardArguments { life: home.lease().await };
            let (incarnation, _task) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
            if let Some(Reporting { keyspace, aggregator }) = reporting {
                // First, so that whoever has an answer from the shard finds it at the aggregator as well.
                let name = format!("{keyspace} shard {n}");
                aggregator.register_group(name, incarnation.get_derived()).await?;
            }
            outbox.redirect(incarnation.clone());
            Ok(incarnation.get_cell())
        }
    });
    spec.on_retire(move || closed.close())
}
