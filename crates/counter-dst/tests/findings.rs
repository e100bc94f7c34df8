//! Schedules in which the simulation itself was wrong once.

use counter_dst::{
    Action, Event, Fault, Level, Operation, OperationKind, Schedule, Victim, Weather, simulate,
};

/// Returns a schedule for nodes in memory with a client who only adds.
fn schedule(seed: u64, nodes: usize, names: usize, end_ms: u64, events: Vec<(u64, Action)>) -> Schedule {
    let event = |(number, (at_ms, action))| Event { number, at_ms, action };
    let events = events.into_iter().enumerate().map(event).collect();
    Schedule { is_durable: false, clients: 1, names, end_ms, events, ..Schedule::generate(seed, Some(nodes)) }
}

fn add(node: usize, name: usize) -> Action {
    let kind = OperationKind::Add { name, amount: 1 };
    Action::Operation(Operation { client: 0, node, kind, level: Level::Memory, patience_ms: 1_000 })
}

#[test]
fn messages_that_outlive_their_senders_are_waited_for_before_nodes_are_compared() {
    const NAMES: usize = 30;
    let weather = Weather { delay_ms: 500, loss: 0, duplicates: 0 };
    for seed in 0..12 {
        let slow = [1, 2].map(|to| (900, Action::Fault(Fault::Weather { from: 0, to, weather, for_ms: 99 })));
        let adds = (0..NAMES).map(|name| (960, add(0, name)));
        let crash = Fault::Crash {
            node: 0,
            after_operations: None,
            down_ms: 1,
            is_power_failure: false,
            again_after: None,
        };
        let events = slow.into_iter().chain(adds).chain([(998, Action::Fault(crash))]).collect();
        let outcome = simulate(&schedule(seed, 3, NAMES, 1_000, events), false);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}

#[test]
fn a_node_whose_endpoint_is_killed_keeps_its_connections_to_others() {
    for seed in 0..6 {
        // Batches that are lost without notice fill the window to the other node.
        let partition = Fault::Partition { side: 2, is_one_way: true, disconnects: false, for_ms: 500 };
        let adds = (0..5).map(|n| (1_100 + 50 * n, add(1, 0)));
        // When it is killed again, it is away for a moment, and that is when connections are looked at.
        let kill = |at_ms| (at_ms, Action::Fault(Fault::Kill { node: 1, victim: Victim::Endpoint }));
        let events = [(1_050, Action::Fault(partition))].into_iter();
        let events = events.chain(adds).chain([kill(1_900), kill(1_998)]).collect();
        let outcome = simulate(&schedule(seed, 2, 1, 2_100, events), false);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}

#[test]
fn a_bit_that_rots_and_a_power_failure_are_not_combined() {
    for seed in 0..12 {
        let rot = Fault::Rot { node: 1, place: seed, down_ms: 500 };
        // It ends within its recovery.
        let crash = Fault::Crash {
            node: 1,
            after_operations: None,
            down_ms: 1,
            is_power_failure: true,
            again_after: Some(0),
        };
        let events = vec![(100, add(1, 0)), (198, Action::Fault(rot)), (300, Action::Fault(crash))];
        let schedule = Schedule { is_durable: true, ..schedule(seed, 2, 1, 1_000, events) };
        assert_eq!(simulate(&schedule, false).violation, None, "seed {seed}");
    }
}
