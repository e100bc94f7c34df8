//! Schedules from seeds.

use counter_keyspace::Operation as Change;
use fastrand::Rng;

use super::{
    Action, Event, Fault, Level, Operation, OperationKind, Schedule, Victim, Weather, is_increment_only,
};
use crate::random::{chance, generator};

/// Kinds of faults that a seed may choose among: most schedules have some of them only, and more of these.
const FAULTS: usize = 12;

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
        let mut schedule =
            Self { seed, nodes, is_durable, is_alone, clients, names, end_ms, events: Vec::new() };
        let faults: Vec<_> = (0..FAULTS).filter(|_| rng.bool()).collect();
        let mut events = Vec::new();
        for _ in 0..rng.usize(0..=10) {
            // The first ones are those of the network.
            if let Some(kind) = rng.choice(&faults).filter(|kind| !is_alone || **kind > 2) {
                let fault = schedule.fault(&mut rng, *kind);
                events.push((rng.u64(..end_ms), Action::Fault(fault)));
            }
        }
        for _ in 0..rng.usize(5..=if is_alone { 150 } else { 80 }) {
            let operation = schedule.operation(&mut rng);
            events.push((rng.u64(..end_ms), Action::Operation(operation)));
        }
        events.sort_by_key(|(at_ms, _)| *at_ms);
        let event = |(number, (at_ms, action))| Event { number, at_ms, action };
        schedule.events = events.into_iter().enumerate().map(event).collect();
        schedule
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
            7 => Fault::Panic { node },
            8 | 9 => Fault::Disk { node, after_operations: rng.u64(..60), is_full: kind == 8, for_ms },
            10 => Fault::Rot { node, place: rng.u64(..), down_ms: rng.u64(1..=1_000) },
            _ => {
                let size = *rng.choice(&[10, 2_000, 4_000_000]).expect("there are three");
                Fault::Clock { node, by_ms: rng.i64(-size..=size) }
            }
        }
    }

    fn operation(&self, rng: &mut Rng) -> Operation {
        let (client, node, name) =
            (rng.usize(..self.clients), rng.usize(..self.nodes), rng.usize(..self.names));
        let amount = self.amount(rng, name);
        let kind = match rng.u8(..10) {
            _ if self.is_alone => {
                let change = Self::change(rng);
                OperationKind::Change { name, change, is_in_session: rng.bool() }
            }
            0..4 => OperationKind::Increment { name, amount },
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
        let levels = if self.is_alone {
            [Level::Memory, Level::Fsync, Level::Fsync]
        } else if self.is_durable {
            [Level::Memory, Level::Fsync, Level::Replicated]
        } else {
            [Level::Memory; 3]
        };
        let level = *rng.choice(&levels).expect("there are three");
        Operation { client, node, kind, level, patience_ms }
    }

    fn change(rng: &mut Rng) -> Change {
        let amount = rng.i64(1..=1_000);
        match rng.u8(..8) {
            0 => Change::Get,
            1 | 2 => Change::Add(amount),
            3 => Change::AddWithin { amount, min: 0, max: 1_500 },
            4 => Change::GetAndSet(amount),
            5 => Change::Set(amount),
            _ => Change::RemoveAndGet,
        }
    }

    fn amount(&self, rng: &mut Rng, name: usize) -> i64 {
        let amount = rng.i64(1..=9);
        if is_increment_only(&super::counter(name)) || rng.bool() { amount } else { -amount }
    }
}
