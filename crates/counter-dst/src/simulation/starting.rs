//! Nodes that start, end and start again.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use counter_cluster::{Node, NodeError, ReplicaId, ReplicaOptions, ReplicaStoreOptions};
use counter_keyspace::KeyspaceOptions;
use counter_store::{Driver, OpenError, StoreOptions};
use tokio::time::Instant;

use super::{Restart, Simulation};
use crate::clock::SimulatedClock;
use crate::coverage::Kind;
use crate::disk::SimulatedDisk;
use crate::network::SimulatedNetwork;
use crate::oracle::Violation;
use crate::random::mix;
use crate::world::Life;

/// Number of shards of each node.
pub(crate) const SHARDS: NonZeroUsize = NonZeroUsize::new(2).expect("it is not zero");

/// Length of a segment of a log, in bytes: short, so that there are many.
const SEGMENT_BYTES: u64 = 8 * 1024;

/// Wait before a node whose disk has failed is started again.
const START_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Returns what the options of all stores have in common.
pub(crate) fn store_options() -> StoreOptions {
    StoreOptions { driver: Driver::Task, segment_bytes: SEGMENT_BYTES, ..StoreOptions::default() }
}

impl Simulation {
    /// Starts a node again, with what its disk has kept.
    pub(super) async fn restart(&mut self, restart: &Restart) -> Result<(), Violation> {
        let Restart { node, is_power_failure, .. } = *restart;
        {
            let mut state = self.world.lock();
            // A bit that rots at the end of a log, behind the last watermark that is durable, looks like a torn write
            // once the power has failed. No store can tell.
            let is_power_failure = is_power_failure && !state.nodes[node].has_rotted;
            state.coverage.fired(Kind::Restart);
            if self.is_durable {
                let disk = &state.nodes[node].disk;
                if is_power_failure {
                    disk.restart()
                } else {
                    disk.restart_process()
                }
                state.coverage.fired(if is_power_failure { Kind::PowerFailure } else { Kind::ProcessKilled });
            }
        }
        self.start(node).await
    }

    /// Starts a node.
    pub(super) async fn start(&mut self, node: usize) -> Result<(), Violation> {
        let life = self.world.begin_life(node);
        let network = Arc::new(SimulatedNetwork { world: self.world.clone(), life });
        let started = Node::start_on(network, self.options(life)).await;
        let is_alive = self.world.lock().lives(life);
        match started {
            Ok(started) if is_alive => self.started(life, started).await,
            Ok(started) => {
                started.kill().await;
                self.start_later(node, true);
                Ok(())
            }
            Err(_) if !is_alive => {
                self.start_later(node, true);
                Ok(())
            }
            Err(NodeError::FirstRound(_) | NodeError::Store(OpenError::Disk { .. })) => {
                // As an operator would: its disk has failed, or is full.
                self.world.note(format_args!("n{node} does not start: its disk has failed"));
                self.start_later(node, false);
                Ok(())
            }
            Err(error) => {
                self.world.note(format_args!("n{node} does not start: {error}"));
                let has_rotted = self.world.lock().nodes[node].has_rotted;
                if !has_rotted {
                    return Err(format!("n{node} does not start: {error}"));
                }
                let mut state = self.world.lock();
                state.coverage.fired(Kind::RefusedToStart);
                state.replace_disk(node);
                drop(state);
                self.start_later(node, false);
                Ok(())
            }
        }
    }

    fn start_later(&mut self, node: usize, is_power_failure: bool) {
        self.world.end_life(node);
        self.restarts.push(Restart { at: Instant::now() + START_AGAIN_AFTER, node, is_power_failure });
    }

    fn options(&self, life: Life) -> ReplicaOptions {
        let world = self.world.clone();
        let state = self.world.lock();
        let (this, seed) = (&state.nodes[life.node], state.seed);
        let store = self.is_durable.then(|| ReplicaStoreOptions {
            disk: Arc::new(SimulatedDisk { world: world.clone(), life, disk: this.disk.clone() }),
            options: StoreOptions {
                seed: Some(mix(seed, (life.node as u64) << 32 | u64::from(life.number))),
                min_snapshot_bytes: self.min_snapshot_bytes,
                ..store_options()
            },
            accept_rollback: false,
        });
        // No two nodes have the same, as random ones would not.
        let incarnation = u32::try_from(life.node).expect("nodes are few") << 16 | life.number;
        ReplicaOptions {
            name: this.name.clone(),
            digest_key: [seed, 1],
            has_peers: !self.is_alone,
            incarnation: Some(incarnation),
            keyspace: KeyspaceOptions {
                shards: SHARDS,
                hash_seeds: Some([seed, 1, 2, 3]),
                clock: Arc::new(SimulatedClock { world, life }),
                ..KeyspaceOptions::default()
            },
            store,
        }
    }

    /// Checks what a node has recovered, and lets it be connected.
    async fn started(&mut self, life: Life, node: Node) -> Result<(), Violation> {
        let replica = node.replica().clone();
        self.world.note(format_args!("n{} starts as {replica}", life.node));
        self.world.lock().nodes[life.node].has_rotted = false;
        self.world.lock().oracle.born(replica.clone(), !self.is_durable)?;
        if self.is_alone {
            return self.serve(life, node);
        }
        let status = node.handle().status().await.map_err(|error| format!("no status: {error}"))?;
        if let Some(alarm) = status.alarm {
            return Err(format!("alarm of n{}: {alarm}", life.node));
        }
        let is_own = |id: &ReplicaId| id.node == replica.node && *id != replica;
        let own = status.replicas.iter().filter(|(id, _)| is_own(id));
        let recovered = own.map(|(_, totals)| totals.total.operations).sum();
        if self.world.lock().lives(life) {
            self.world.lock().oracle.recovered(&replica.node, recovered)?;
        }
        self.serve(life, node)
    }

    fn serve(&mut self, life: Life, node: Node) -> Result<(), Violation> {
        let replica = node.replica().clone();
        // If it has ended meanwhile, it is torn down as any other.
        self.world.lock().nodes[life.node].serving = Some((node.handle(), replica));
        self.nodes[life.node] = Some(node);
        self.world.connections_changed();
        self.world.attention.notify_one();
        Ok(())
    }

    /// Ends a node, and starts it again later. Returns false if it was down already.
    pub(super) async fn crash(&mut self, node: usize, down: Duration, is_power_failure: bool) -> bool {
        let Some(running) = self.nodes[node].take() else { return false };
        self.world.end_life(node);
        running.kill().await;
        self.restarts.push(Restart { at: Instant::now() + down, node, is_power_failure });
        true
    }
}
