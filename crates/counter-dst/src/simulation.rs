//! A simulation from its beginning to its end.

mod ending;
pub(crate) mod starting;
mod watchdog;

use std::time::Duration;

use counter_cluster::Node;
use ractor::ActorCell;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Client;
use crate::coverage::{Coverage, Kind};
use crate::oracle::Violation;
use crate::schedule::{Action, Fault, Schedule, Victim};
use crate::trace::Trace;
use crate::world::World;
use watchdog::Watchdog;

/// Time without a fault before the end, in which clients finish.
const CLIENTS_FINISH_WITHIN: Duration = Duration::from_secs(120);

/// Time within which nodes start again once all faults are over.
const NODES_START_WITHIN: Duration = Duration::from_secs(10);

/// Outcome of a simulation.
#[derive(Debug)]
pub struct Outcome {
    /// First promise that was broken, if any.
    pub violation: Option<String>,
    /// Trace of all events.
    pub trace: Trace,
    /// Faults that have had an effect.
    pub coverage: Coverage,
    /// Time that has passed in the simulation.
    pub simulated: Duration,
}

/// Carries a schedule out, on a runtime of its own, and checks what must hold.
///
/// # Panics
/// If no runtime can be made.
#[must_use]
pub fn simulate(schedule: &Schedule, keeps_trace: bool) -> Outcome {
    // Waits before restarts are drawn from this thread's generator.
    fastrand::seed(schedule.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    runtime.block_on(async {
        let world = World::new(schedule.seed, schedule.nodes, Trace::new(keeps_trace));
        let begun = Instant::now();
        let mut simulation = Simulation::new(world.clone(), schedule);
        let watchdog = Watchdog::begin(watchdog::LOOK_EVERY);
        let kept = tokio::select! {
            biased;
            () = watchdog.stalled() => Err("time stands still: something goes on at one instant without end".into()),
            kept = simulation.run(schedule, begun) => kept,
        };
        world.check(kept);
        drop(simulation);
        let mut state = world.lock();
        let trace = std::mem::replace(&mut state.trace, Trace::new(false));
        let coverage = std::mem::take(&mut state.coverage);
        drop(state);
        Outcome { violation: world.violation(), trace, coverage, simulated: begun.elapsed() }
    })
}

/// A node that is to be started again.
struct Restart {
    at: Instant,
    node: usize,
    /// The power has failed, and not only the process.
    is_power_failure: bool,
}

struct Simulation {
    world: World,
    nodes: Vec<Option<Node>>,
    is_durable: bool,
    is_alone: bool,
    min_snapshot_bytes: u64,
    restarts: Vec<Restart>,
    reconnections: Vec<Instant>,
    clients: JoinSet<()>,
}

impl Simulation {
    fn new(world: World, schedule: &Schedule) -> Self {
        Self {
            world,
            nodes: (0..schedule.nodes).map(|_| None).collect(),
            is_durable: schedule.is_durable,
            is_alone: schedule.is_alone,
            min_snapshot_bytes: schedule.min_snapshot_bytes,
            restarts: Vec::new(),
            reconnections: Vec::new(),
            clients: JoinSet::new(),
        }
    }

    async fn run(&mut self, schedule: &Schedule, begun: Instant) -> Result<(), Violation> {
        for node in 0..schedule.nodes {
            self.start(node).await?;
        }
        self.start_clients(schedule, begun);
        for event in &schedule.events {
            if let Action::Fault(fault) = &event.action {
                self.wait_until(begun + Duration::from_millis(event.at_ms)).await?;
                self.world.note(format_args!("#{} {fault:?}", event.number));
                self.carry_out(fault).await?;
            }
        }
        self.wait_until(begun + Duration::from_millis(schedule.end_ms)).await?;
        self.world.lock().heal();
        self.world.connections_changed();
        self.world.note(format_args!("all faults are over"));
        self.restarts.iter_mut().for_each(|restart| restart.at = Instant::now());
        self.wait_for_all().await?;
        self.finish_clients().await?;
        self.end(schedule).await
    }

    fn start_clients(&mut self, schedule: &Schedule, begun: Instant) {
        for client in 0..schedule.clients {
            let operations = schedule.events.iter().filter_map(|event| match &event.action {
                Action::Operation(operation) if operation.client == client => {
                    Some((event.number, event.at_ms, operation.clone()))
                }
                Action::Operation(_) | Action::Fault(_) => None,
            });
            self.clients.spawn(Client::new(self.world.clone(), client).run(begun, operations.collect()));
        }
    }

    /// Waits until all nodes run.
    async fn wait_for_all(&mut self) -> Result<(), Violation> {
        let end = Instant::now() + NODES_START_WITHIN;
        self.wait_until(Instant::now()).await?;
        while self.nodes.iter().any(Option::is_none) {
            if Instant::now() >= end {
                return Err("a node does not start again".into());
            }
            self.wait_until(Instant::now() + Duration::from_millis(50)).await?;
        }
        Ok(())
    }

    async fn finish_clients(&mut self) -> Result<(), Violation> {
        let end = Instant::now() + CLIENTS_FINISH_WITHIN;
        while !self.clients.is_empty() {
            tokio::select! {
                biased;
                () = self.world.attention.notified() => self.attend().await?,
                client = self.clients.join_next() => if let Some(Err(error)) = client {
                    return Err(format!("a client has panicked: {error}"));
                },
                () = sleep_until(end) => return Err("a client waits for ever".into()),
            }
        }
        Ok(())
    }

    /// Waits until a time, and carries out what is due before.
    async fn wait_until(&mut self, time: Instant) -> Result<(), Violation> {
        loop {
            self.attend().await?;
            let restart = self.restarts.iter().map(|restart| restart.at);
            let next = restart.chain(self.reconnections.iter().copied()).min().unwrap_or(time).min(time);
            tokio::select! {
                biased;
                () = self.world.attention.notified() => continue,
                () = sleep_until(next) => {}
            }
            if self.reconnections.extract_if(.., |at| *at <= next).count() > 0 {
                self.world.connections_changed();
            }
            let due: Vec<_> = self.restarts.extract_if(.., |restart| restart.at <= next).collect();
            for restart in &due {
                self.restart(restart).await?;
            }
            if next >= time && due.is_empty() {
                return Ok(());
            }
        }
    }

    /// Tears down nodes that have ended within an operation. Fails if a promise was broken.
    async fn attend(&mut self) -> Result<(), Violation> {
        loop {
            let doomed = self.world.lock().doomed();
            let Some(node) = doomed else { break };
            self.crash(node, Duration::from_millis(100), node.is_multiple_of(2)).await;
        }
        self.world.violation().map_or(Ok(()), Err)
    }

    async fn carry_out(&mut self, fault: &Fault) -> Result<(), Violation> {
        let reconnection = self.world.lock().apply(fault);
        if let Some(after) = reconnection {
            self.reconnections.push(Instant::now() + after);
            self.world.connections_changed();
        }
        match *fault {
            Fault::Crash { node, after_operations: None, down_ms, is_power_failure, again_after } => {
                let is_new = self.crash(node, Duration::from_millis(down_ms), is_power_failure).await;
                let mut state = self.world.lock();
                if is_new {
                    state.coverage.fired(Kind::CrashAtInstant);
                }
                state.nodes[node].crash_in = again_after;
            }
            Fault::Rot { node, place, down_ms } if self.is_durable => {
                let is_new = self.crash(node, Duration::from_millis(down_ms), false).await;
                if is_new {
                    self.world.lock().rot(node, place);
                }
            }
            Fault::Kill { node, victim } => self.kill(node, victim).await?,
            _ => {}
        }
        Ok(())
    }

    /// Kills an actor of a node.
    async fn kill(&mut self, node: usize, victim: Victim) -> Result<(), Violation> {
        let Some(node) = &self.nodes[node] else { return Ok(()) };
        let [keyspace, own] = node.supervisors().map(|supervisor| {
            let mut children = supervisor.actor().get_children();
            // In the order of their starts.
            children.sort_unstable_by_key(|child| child.get_id().pid());
            children
        });
        let (children, position, kind): (Vec<ActorCell>, _, _) = match victim {
            Victim::Shard(shard) => (keyspace, shard, Kind::ShardKilled),
            Victim::Replicator => (own, 0, Kind::ReplicatorKilled),
            Victim::Endpoint => (own, 1, Kind::EndpointKilled),
        };
        if let Some(actor) = children.get(position) {
            actor.kill();
            self.world.lock().coverage.fired(kind);
        }
        sleep(Duration::ZERO).await;
        Ok(())
    }
}
