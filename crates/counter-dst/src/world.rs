//! State that the parts of a simulation share: that of the nodes and of the network between them, and the trace.

mod disks;
mod links;
mod time;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use counter_cluster::{Inbox, NodeHandle, ReplicaId};
use counter_store::disk::{Fault as DiskFault, MemoryDisk};
use ractor_transport::NodeName;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::copies::{Copy, Image};
use crate::coverage::{Coverage, Kind};
use crate::message::Seen;
use crate::oracle::{Oracle, Violation};
use crate::random::mix;
use crate::schedule::Fault;
use crate::trace::Trace;
use links::Links;

/// State of a simulation. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    /// Wakes whoever carries out the schedule when a node has to end now, or an invariant is broken.
    pub(crate) attention: Arc<Notify>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) seed: u64,
    begun: Instant,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    pub(crate) oracle: Oracle,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) links: Links,
    /// Numbers of endpoints and messages.
    next: u64,
    violation: Option<Violation>,
}

/// One life of a node, from a start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) node: usize,
    pub(crate) number: u32,
}

#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) name: NodeName,
    /// Number of its lives.
    pub(crate) lives: u32,
    pub(crate) is_alive: bool,
    /// Set while it counts.
    pub(crate) serving: Option<(NodeHandle, ReplicaId)>,
    pub(crate) endpoint: Option<(u64, Inbox)>,
    frozen_until: Option<Instant>,
    pub(crate) crash_in: Option<u32>,
    clock_offset_ms: i64,
    /// Most that the clock has ever been ahead.
    most_ahead_ms: i64,
    disk_is_slow: Option<(Instant, Duration)>,
    /// Time that the disk has taken, and that nobody has waited for yet.
    pub(crate) disk_time: Duration,
    /// Number of looks at the clock behind which a shard panics.
    pub(crate) panics_after: Option<u32>,
    /// Number of operations of the disk behind which it is copied, and how.
    pub(crate) copy: Option<(u32, Copy)>,
    pub(crate) disk: MemoryDisk,
    /// Bits have rotted since it was last opened.
    pub(crate) has_rotted: bool,
    disk_is_full_until: Option<Instant>,
    over: Arc<Notify>,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, trace: Trace) -> Self {
        let node = |n: usize| NodeState {
            name: format!("n{n}").parse().expect("it is a name"),
            lives: 0,
            is_alive: false,
            serving: None,
            endpoint: None,
            frozen_until: None,
            crash_in: None,
            clock_offset_ms: 0,
            most_ahead_ms: 0,
            disk_is_slow: None,
            disk_time: Duration::ZERO,
            panics_after: None,
            copy: None,
            disk: MemoryDisk::new(mix(seed, n as u64)),
            has_rotted: false,
            disk_is_full_until: None,
            over: Arc::default(),
        };
        let state = State {
            seed,
            begun: Instant::now(),
            trace,
            coverage: Coverage::default(),
            oracle: Oracle::default(),
            nodes: (0..nodes).map(node).collect(),
            links: Links::new(nodes),
            next: 0,
            violation: None,
        };
        Self { state: Arc::new(Mutex::new(state)), attention: Arc::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, event: fmt::Arguments<'_>) {
        self.lock().note(event);
    }

    /// Notes a broken promise: the simulation has failed.
    pub(crate) fn check(&self, kept: Result<(), Violation>) {
        if let Err(violation) = kept {
            let mut state = self.lock();
            state.note(format_args!("VIOLATION {violation}"));
            state.violation.get_or_insert(violation);
            drop(state);
            self.attention.notify_one();
        }
    }

    /// Checks entries that one node tells another.
    pub(crate) fn see(&self, entries: &[Seen]) {
        let kept = {
            let mut state = self.lock();
            entries.iter().try_for_each(|seen| state.oracle.seen(seen))
        };
        self.check(kept);
    }

    /// Notes entries that a node has got.
    pub(crate) fn receive(&self, node: usize, entries: &[Seen]) {
        let mut state = self.lock();
        let name = state.nodes[node].name.clone();
        entries.iter().for_each(|seen| state.oracle.received(&name, seen));
    }

    /// Checks what a copy of a node's disk holds.
    pub(crate) fn copied(&self, node: usize, image: &Image) -> Result<(), Violation> {
        let mut state = self.lock();
        state.coverage.fired(Kind::Copied);
        state.tell_time();
        let name = state.nodes[node].name.clone();
        state.oracle.copied(&name, image)
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.lock().violation.clone()
    }

    /// Waits until a node does not live this life any more.
    pub(crate) async fn ended(&self, life: Life) {
        loop {
            let over = Arc::clone(&self.lock().nodes[life.node].over);
            let ended = over.notified();
            if !self.lock().lives(life) {
                return;
            }
            ended.await;
        }
    }

    /// Waits until a node is not frozen.
    pub(crate) async fn thawed(&self, node: usize) {
        loop {
            let until = self.lock().nodes[node].frozen_until;
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => {
                    self.lock().coverage.fired(Kind::Frozen);
                    tokio::time::sleep_until(until).await;
                }
                None => return,
            }
        }
    }

    /// Begins a life of a node.
    pub(crate) fn begin_life(&self, node: usize) -> Life {
        let mut state = self.lock();
        let this = &mut state.nodes[node];
        this.lives += 1;
        (this.is_alive, this.disk_time) = (true, Duration::ZERO);
        Life { node, number: this.lives }
    }

    /// Ends a life of a node: from now on, nothing that is left of it has any effect.
    pub(crate) fn end_life(&self, node: usize) {
        let mut state = self.lock();
        let this = &mut state.nodes[node];
        this.is_alive = false;
        let (serving, endpoint) = (this.serving.take(), this.endpoint.take());
        let over = Arc::clone(&this.over);
        state.tell_time();
        if let Some((_, replica)) = &serving {
            state.oracle.died(replica);
        }
        state.note(format_args!("n{node} is over"));
        drop(state);
        over.notify_waiters();
        self.connections_changed();
        drop((serving, endpoint));
    }

    /// Tells all nodes that connections have come or gone.
    pub(crate) fn connections_changed(&self) {
        let inboxes: Vec<_> = self
            .lock()
            .nodes
            .iter()
            .filter_map(|node| node.endpoint.clone())
            .map(|(_, inbox)| inbox)
            .collect();
        inboxes.iter().for_each(|inbox| _ = inbox.connections_changed());
    }

    /// Counts an operation of a node's network or disk, within which it may end. Returns false if its life is over.
    pub(crate) fn operates(&self, life: Life) -> bool {
        let mut state = self.lock();
        if !state.lives(life) {
            return false;
        }
        state.add_space(life.node);
        let node = &mut state.nodes[life.node];
        match &mut node.crash_in {
            Some(0) => {
                node.is_alive = false;
                node.crash_in = None;
                if node.serving.is_none() {
                    state.coverage.fired(Kind::CrashInRecovery);
                }
                state.coverage.fired(Kind::CrashAtOperation);
                drop(state);
                self.attention.notify_one();
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

impl State {
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn note(&mut self, event: fmt::Arguments<'_>) {
        let at = self.elapsed();
        self.trace.add(at, event);
    }

    /// Returns the next number, which has no other use.
    pub(crate) const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn lives(&self, life: Life) -> bool {
        let node = &self.nodes[life.node];
        node.is_alive && node.lives == life.number
    }

    /// Returns nodes that have ended within an operation and still have to be torn down.
    pub(crate) fn doomed(&self) -> Option<usize> {
        self.nodes.iter().position(|node| !node.is_alive && node.serving.is_some())
    }

    /// Returns true while messages are on their way whose senders have ended.
    pub(crate) fn has_late_messages(&self) -> bool {
        self.links.senders().any(|life| !self.lives(life))
    }

    /// Carries out a fault, except those for which actors have to be killed. Returns the time after which connections
    /// have to be looked at again.
    pub(crate) fn apply(&mut self, fault: &Fault) -> Option<Duration> {
        let now = Instant::now();
        match *fault {
            Fault::Weather { from, to, weather, for_ms } => {
                self.links.change_weather(from, to, weather, now + Duration::from_millis(for_ms));
                None
            }
            Fault::Partition { side, is_one_way, disconnects, for_ms } => {
                let kind = if is_one_way { Kind::OneWayPartition } else { Kind::Partition };
                let until = now + Duration::from_millis(for_ms);
                let disconnected = self.links.cut_off(side, kind, disconnects, until);
                (0..disconnected).for_each(|_| self.coverage.fired(Kind::Disconnected));
                disconnects.then(|| Duration::from_millis(for_ms))
            }
            Fault::Freeze { node, for_ms } => {
                self.nodes[node].frozen_until = Some(now + Duration::from_millis(for_ms));
                None
            }
            Fault::Clock { node, by_ms } => {
                let this = &mut self.nodes[node];
                this.clock_offset_ms += by_ms;
                this.most_ahead_ms = this.most_ahead_ms.max(this.clock_offset_ms);
                self.tell_time();
                self.coverage.fired(if by_ms < 0 { Kind::ClockBack } else { Kind::ClockForward });
                None
            }
            Fault::Crash { node, after_operations, .. } => {
                self.nodes[node].crash_in = after_operations;
                None
            }
            Fault::Disk { node, after_operations, is_full, for_ms } => {
                let this = &mut self.nodes[node];
                let fault = if is_full { DiskFault::Full } else { DiskFault::Error };
                this.disk.fail_at(this.disk.operations() + after_operations, fault);
                this.disk_is_full_until = is_full.then(|| now + Duration::from_millis(for_ms));
                self.coverage.fired(if is_full { Kind::DiskFull } else { Kind::DiskError });
                None
            }
            Fault::SlowDisk { node, up_to_ms, for_ms } => {
                let until = now + Duration::from_millis(for_ms);
                self.nodes[node].disk_is_slow = Some((until, Duration::from_millis(up_to_ms)));
                None
            }
            Fault::Panic { node, after_looks } => {
                self.nodes[node].panics_after = Some(after_looks);
                None
            }
            Fault::Copy { node, after_operations, is_power_failure, recovery_ends_after } => {
                let copy =
                    Copy { seed: mix(self.seed, self.number()), is_power_failure, recovery_ends_after };
                self.nodes[node].copy = Some((after_operations, copy));
                None
            }
            Fault::Kill { .. } | Fault::Rot { .. } => None,
        }
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) {
        let now = Instant::now();
        self.links.heal();
        for node in &mut self.nodes {
            node.frozen_until = node.frozen_until.map(|until| until.min(now));
            (node.crash_in, node.panics_after, node.copy, node.disk_is_slow) = (None, None, None, None);
            node.disk.fail_at(u64::MAX, DiskFault::Error);
            node.disk.add_space();
        }
    }
}
