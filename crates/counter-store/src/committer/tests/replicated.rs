use fastrand::Rng;

use super::faults::{random_history, restart, short_history};
use super::world::{State, Step, World, now, read, recovered};
use crate::disk::{Fault, MemoryDisk};
use crate::error::{Damage, OpenError};
use crate::replicas::{ColumnSink, Columns};

const NODE: Option<&str> = Some("node");

/// Returns everything that a store holds of itself, whichever column it is in, and the sum of its operations.
fn own_operations(state: &State) -> u128 {
    let live: u128 = state.shards.iter().flat_map(|shard| shard.counters.values()).map(operations).sum();
    let own = |node: &str| ["store", "node"].contains(&node);
    let sealed = state.columns.0.keys().filter(|replica| own(&replica.node));
    live + sealed.map(|replica| state.columns.totals(replica).operations).sum::<u128>()
}

fn operations((count, _): &(counter_protocol::Count, Option<u64>)) -> u128 {
    count.operations.into()
}

fn opened(disk: &MemoryDisk, context: &str) -> World {
    World::open_as(disk, false, NODE).unwrap_or_else(|error| panic!("{context}: {error}")).0
}

#[test]
fn an_open_seals_what_was_counted_before_and_counts_from_zero() {
    let disk = MemoryDisk::new(0);
    let (mut world, _) = World::open(&disk, false).unwrap();
    (0..5).for_each(|name| world.take(Step::Add(name)));
    world.round();
    for life in 1..=4_u64 {
        disk.restart_process();
        world = opened(&disk, "open");
        assert!(world.state().shards.iter().all(|shard| shard.counters.is_empty()));
        world.round();
        world.take(Step::Add(1));
        world.take(Step::Column(1, life));
        world.round();
        if life == 3 {
            world.snapshot();
        }
        let state = world.state();
        assert_eq!(own_operations(&state), 5 + u128::from(life));
        // The plain table and one replica for each life before this one, and that of the other node.
        assert_eq!(state.columns.0.len() as u64, life + 1);
        assert_eq!(read(&disk.copy(0)).unwrap(), state);
    }
}

#[test]
fn an_open_without_counters_leaves_no_replica_behind() {
    let disk = MemoryDisk::new(0);
    for _ in 0..3 {
        let mut world = opened(&disk, "open");
        world.round();
        assert!(world.state().columns.0.is_empty());
        disk.restart_process();
    }
    assert_eq!(read(&disk).unwrap().own.unwrap().incarnation, 7 + 3);
}

#[test]
fn a_crash_at_each_operation_of_an_open_seals_once_or_not_at_all() {
    for seed in 0..2 {
        let disk = MemoryDisk::new(seed);
        let mut world = opened(&disk, "open");
        short_history().into_iter().for_each(|step| world.take(step));
        world.round();
        let before = own_operations(&world.state());
        disk.restart();
        for at in 0..30 {
            let copy = disk.copy(seed * 100 + at);
            copy.fail_at(at, Fault::Crash);
            if let Ok((mut world, _)) = World::open_as(&copy, false, NODE) {
                world.round();
                world.take(Step::Add(1));
            }
            copy.restart();
            let context = format!("seed {seed}, crash at {at}");
            let found = recovered(&copy).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(own_operations(&found), before, "{context}");
        }
    }
}

#[test]
fn several_lives_of_a_replica_with_crashes_end_exact() {
    for seed in 0..150 {
        let disk = MemoryDisk::new(seed);
        let mut rng = Rng::with_seed(seed);
        let mut expected: Option<Vec<State>> = None;
        for life in 0..6 {
            let context = format!("seed {seed}, life {life}");
            let mut world = opened(&disk, &context);
            if let Some(expected) = expected {
                assert!(expected.contains(&world.written[0]), "{context}: {:?}", world.written[0]);
            }
            let fault = rng.choice([Fault::Crash, Fault::Error, Fault::Full]).unwrap();
            disk.fail_at(disk.operations() + rng.u64(1..60), fault);
            for step in random_history(&mut rng, 80) {
                world.take(step);
                if disk.is_crashed() {
                    break;
                }
            }
            expected = Some(world.written);
            restart(&disk, disk.is_crashed() || rng.bool());
            disk.add_space();
        }
    }
}

#[test]
fn after_a_rewrite_nothing_before_it_is_needed() {
    let disk = MemoryDisk::new(3);
    let mut world = opened(&disk, "open");
    (0..9).for_each(|name| world.take(Step::Add(name)));
    world.round();
    disk.restart_process();
    world = opened(&disk, "open again");
    (0..9).for_each(|name| world.take(Step::Column(name, 4)));
    world.take(Step::Member(1));
    world.rewrite().unwrap();
    let state = world.state();
    disk.put("000001.log", vec![0xff; 100]);
    disk.restart();
    assert_eq!(recovered(&disk).unwrap(), state);
}

#[test]
fn columns_that_do_not_add_up_are_refused() {
    let disk = MemoryDisk::new(0);
    let mut world = opened(&disk, "open");
    world.take(Step::Column(1, 1));
    world.round();
    // Columns that forget an entry: the totals tell.
    world.take(Step::Column(4, 1));
    now(Columns::finish(&mut world.columns)).unwrap();
    Columns::confirm(&mut world.columns);
    world.take(Step::Column(7, 1));
    world.commit().unwrap();
    disk.restart_process();
    assert!(matches!(recovered(&disk).unwrap_err(), OpenError::Lost(Damage::ColumnTotals { .. })));
}

#[test]
fn what_has_been_sealed_has_to_add_up_also_in_a_snapshot() {
    let disk = MemoryDisk::new(0);
    let mut world = opened(&disk, "open");
    (0..5).for_each(|name| world.take(Step::Add(name)));
    world.round();
    disk.restart_process();
    let mut world = opened(&disk, "open again");
    world.round();
    assert_eq!(read(&disk).unwrap().columns.0.len(), 1);
    // The column is forgotten, but not its totals.
    world.columns.forget();
    world.snapshot();
    disk.restart_process();
    assert!(matches!(recovered(&disk).unwrap_err(), OpenError::Lost(Damage::ColumnTotals { .. })));
}
