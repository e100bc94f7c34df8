//! Schedules from seeds.

use counter_keyspace::Operation as Change;
use fastrand::Rng;

use super::{
    Action, Event, Fault, Level, Operation, OperationKind, Schedule, Victim, Weather, is_increment_only,
};
use crate::clock::BEGINNING_MS;
use crate::random::{chance, generator};

/// Kinds of faults that a seed may choose among: most schedules have some of them only, and more of these.
const FAULTS: usize = 13;

/// Time that a burst takes, in milliseconds: more than a few steps of a snapshot, and less than a round.
const BURST_MS: u64 = 12;

/// Timing of events: at any time, or most of them in bursts.
struct Times {
    end_ms: u64,
    /// Beginnings of bursts, if there are any.
    bursts: Vec<u64>,
}

impl Times {
    fn draw(rng: &mut Rng, end_ms: u64) -> Self {
        let bursts = if rng.bool() { rng.usize(1..=10) } else { 0 };
        Self { end_ms, bursts: (0..bursts).map(|_| rng.u64(..end_ms)).collect() }
    }

    fn time(&self, rng: &mut Rng) -> u64 {
        match rng.choice(&self.bursts) {
            Some(begin) if chance(rng, 80) => begin + rng.u64(..BURST_MS),
            _ => rng.u64(..self.end_ms),
        }
    }
}

impl Schedule {
    /// Generates the schedule of a seed, for a number of nodes or one that the seed decides.
    #[must_use]
    pub fn generate(seed: u64, nodes: Option<usize>) -> Self {
        let mut rng = generator(seed, "schedule", &[]);
        let has_number = nodes.is_some();
        let nodes = nodes.unwrap_or_else(|| rng.usize(2..=4));
        let (clients, names, end_ms) = (rng.usize(1..=4), rng.usize(1..=6), rng.u64(500..=3_000));
        // Whoever gives a number of nodes wants a cluster.
        let is_alone = !has_number && chance(&mut rng, 30);
        let is_durable = is_alone || rng.bool();
        let nodes = if is_alone { 1 } else { nodes };
        let min_snapshot_bytes = *rng.choice(&[256, 1 << 10, 4 << 10]).expect("there are three");
        let events = Vec::new();
        let mut schedule =
            Self { seed, nodes, is_durable, is_alone, clients, names, min_snapshot_bytes, end_ms, events };
        let mut events = schedule.faults(&mut rng);
        events.extend(schedule.operations(&mut rng));
        events.sort_by_key(|(at_ms, _)| *at_ms);
        let event = |(number, (at_ms, action))| Event { number, at_ms, action };
        schedule.events = events.into_iter().enumerate().map(event).collect();
        schedule
    }

    fn faults(&self, rng: &mut Rng) -> Vec<(u64, Action)> {
        let times = Times::draw(rng, self.end_ms);
        let kinds: Vec<_> = (0..FAULTS).filter(|_| rng.bool()).collect();
        let mut faults = Vec::new();
        for _ in 0..rng.usize(0..=10) {
            // The first ones are those of the network.
            if let Some(kind) = rng.choice(&kinds).filter(|kind| !self.is_alone || **kind > 2) {
                let fault = self.fault(rng, *kind);
                faults.push((times.time(rng), Action::Fault(fault)));
            }
        }
        for _ in 0..if self.is_durable && rng.bool() { rng.usize(1..=8) } else { 0 } {
            faults.push((rng.u64(..self.end_ms), Action::Fault(self.copy(rng))));
        }
        faults
    }

    fn operations(&self, rng: &mut Rng) -> Vec<(u64, Action)> {
        let times = Times::draw(rng, self.end_ms);
        let memory = *rng.choice(&[30, 80]).expect("there are two");
        let mut events = Vec::new();
        for _ in 0..rng.usize(5..=if self.is_alone { 150 } else { 80 }) {
            let (operation, at_ms) = (self.operation(rng, memory), times.time(rng));
            events.extend(
                self.accidents(rng, &operation).into_iter().map(|fault| (at_ms, Action::Fault(fault))),
            );
            events.push((at_ms, Action::Operation(operation)));
        }
        events
    }

    /// Draws what goes wrong right behind an operation: what it is about is on its way just then.
    fn accidents(&self, rng: &mut Rng, operation: &Operation) -> Vec<Fault> {
        let node = operation.node;
        match operation.kind {
            OperationKind::Increment { hangs_up: true, .. } if rng.bool() => {
                vec![Fault::Panic { node, after_looks: rng.u32(..2) }]
            }
            // The round that tells of the removal, or one that comes soon.
            OperationKind::Change { change: Change::RemoveAndGet, .. } if chance(rng, 10) => {
                vec![Fault::Panic { node, after_looks: rng.u32(..6) }, self.copy(rng)]
            }
            _ => Vec::new(),
        }
    }

    fn copy(&self, rng: &mut Rng) -> Fault {
        Fault::Copy {
            node: rng.usize(..self.nodes),
            after_operations: rng.u32(..20),
            is_power_failure: rng.bool(),
            recovery_ends_after: rng.u64(..20),
        }
    }

    fn fault(&self, rng: &mut Rng, kind: usize) -> Fault {
        let (node, for_ms) = (rng.usize(..self.nodes), rng.u64(10..=1_500));
        match kind {
            0 => {
                let weather = Weather {
                    delay_ms: *rng.choice(&[5, 50, 500]).expect("there are three"),
                    loss: *rng.choice(&[0, 5, 30, 90]).expect("there are four"),
                    duplicates: *rng.choice(&[0, 5, 50]).expect("there are three"),
                };
                Fault::Weather {
                    from: node,
                    to: (node + rng.usize(1..self.nodes)) % self.nodes,
                    weather,
                    for_ms,
                }
            }
            1 | 2 => {
                let side = rng.u32(1..(1 << self.nodes) - 1);
                Fault::Partition { side, is_one_way: kind == 2, disconnects: rng.bool(), for_ms }
            }
            3 => Fault::Freeze { node, for_ms },
            4 | 5 => {
                let after_operations = (kind == 5).then(|| rng.u32(1..200));
                let again_after = chance(rng, 30).then(|| rng.u32(..40));
                let (down_ms, is_power_failure) = (rng.u64(1..=1_000), rng.bool());
                Fault::Crash { node, after_operations, down_ms, is_power_failure, again_after }
            }
            6 => {
                let victims = [Victim::Shard(rng.usize(..2)), Victim::Replicator, Victim::Endpoint];
                Fault::Kill { node, victim: *rng.choice(&victims).expect("there are three") }
            }
            7 => Fault::Panic { node, after_looks: rng.u32(..12) },
            8 | 9 => Fault::Disk { node, after_operations: rng.u64(..60), is_full: kind == 8, for_ms },
            12 => {
                let up_to_ms = *rng.choice(&[10, 50, 500]).expect("there are three");
                Fault::SlowDisk { node, up_to_ms, for_ms }
            }
            10 => Fault::Rot { node, place: rng.u64(..), down_ms: rng.u64(1..=1_000) },
            _ => {
                let size = *rng.choice(&[10, 2_000, 4_000_000]).expect("there are three");
                Fault::Clock { node, by_ms: rng.i64(-size..=size) }
            }
        }
    }

    /// Draws an operation, of which this percentage waits for nothing.
    fn operation(&self, rng: &mut Rng, memory: u8) -> Operation {
        let (client, node, name) =
            (rng.usize(..self.clients), rng.usize(..self.nodes), rng.usize(..self.names));
        let amount = self.amount(rng, name);
        let kind = match rng.u8(..10) {
            _ if self.is_alone => {
                let change = self.change(rng);
                OperationKind::Change { name, change, is_in_session: rng.bool() }
            }
            0..4 => OperationKind::Increment { name, amount, hangs_up: chance(rng, 10) },
            4..6 => OperationKind::Add { name, amount },
            6..8 => {
                let names: Vec<_> = (0..rng.usize(1..=4)).map(|_| rng.usize(..self.names)).collect();
                let lost_answers = if chance(rng, 30) { rng.u32(1..=2) } else { 0 };
                OperationKind::Session { names, amount: amount.abs(), lost_answers }
            }
            8 => OperationKind::Read { name },
            _ => OperationKind::Refresh { name },
        };
        let patience_ms = if chance(rng, 10) { rng.u64(..=5) } else { 10_000 };
        let level = match () {
            () if !self.is_durable || chance(rng, memory) => Level::Memory,
            () if self.is_alone || rng.bool() => Level::Fsync,
            () => Level::Replicated,
        };
        Operation { client, node, kind, level, patience_ms }
    }

    fn change(&self, rng: &mut Rng) -> Change {
        let amount = rng.i64(1..=1_000);
        match rng.u8(..10) {
            0 => Change::Get,
            1 | 2 => Change::Add(amount),
            3 => Change::AddWithin { amount, min: 0, max: 1_500 },
            4 => Change::GetAndSet(amount),
            5 => Change::Set(amount),
            6 | 7 => Change::RemoveAndGet,
            8 => Change::Persist,
            _ => Change::Expire(BEGINNING_MS + rng.u64(..self.end_ms + 500)),
        }
    }

    fn amount(&self, rng: &mut Rng, name: usize) -> i64 {
        let amount = rng.i64(1..=9);
        if is_increment_only(&super::counter(name)) || rng.bool() { amount } else { -amount }
    }
}
