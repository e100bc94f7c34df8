use std::num::NonZeroUsize;
use std::sync::Arc;

use counter_keyspace::{Keyspace, KeyspaceError, KeyspaceOptions, SessionId, ShardBuilder};
use fastrand::Rng;

use super::super::RoundError;
use super::fake::SHARDS;
use super::world::{State, Step, World, options, recovered};
use crate::disk::{Fault, MemoryDisk};
use crate::replicas::SortedColumns;
use crate::store::StoreOptions;
use crate::store::open::Opened;

/// Steps that make everything happen that the store does: rounds of both kinds, new segments, a snapshot, removal.
pub(super) fn short_history() -> Vec<Step> {
    let mut steps = Vec::new();
    for n in 0..6 {
        steps.extend([Step::Add(n), Step::Add(n + 40), Step::UseSession(u64::from(n % 2)), Step::Round]);
        steps.extend([Step::PrepareSpare, Step::SyncWatermark, Step::Column(n, 3), Step::Member(n % 2)]);
    }
    steps.extend([Step::Remove(1), Step::Reject, Step::Add(2), Step::LargeRound]);
    for n in 0..14 {
        steps.extend([Step::Snapshot, Step::Add(n), Step::Remove(41), Step::Add(90 + n)]);
        steps.extend([Step::Column(n % 8, u64::from(n % 5)), Step::Member(n)]);
        if n % 3 == 0 {
            steps.push(Step::Round);
        }
    }
    steps.extend([Step::Snapshot; 8]);
    steps.push(Step::Round);
    steps.extend([Step::Snapshot; 8]);
    steps.extend([Step::Add(3), Step::Round]);
    steps
}

pub(super) fn random_history(rng: &mut Rng, len: usize) -> Vec<Step> {
    let step = |rng: &mut Rng| match rng.u8(..19) {
        0..=5 => Step::Add(rng.u8(..120)),
        6 | 7 => Step::Remove(rng.u8(..120)),
        8 => Step::Reject,
        9 => Step::UseSession(rng.u64(..4)),
        10 | 11 => Step::Round,
        12 => Step::LargeRound,
        13 => Step::PrepareSpare,
        14 => Step::SyncWatermark,
        15 | 16 => Step::Column(rng.u8(..120), rng.u64(..9)),
        17 => Step::Member(rng.u8(..6)),
        _ => Step::Snapshot,
    };
    (0..len).map(|_| step(rng)).collect()
}

/// Runs a history with a fault, kills the process or cuts the power, and checks what is found afterwards.
fn check(seed: u64, history: &[Step], fault: (u64, Fault), cuts_power: bool) {
    let context = format!("seed {seed}, {fault:?}, power cut: {cuts_power}");
    let disk = MemoryDisk::new(seed);
    disk.fail_at(fault.0, fault.1);
    let mut expected = vec![State::default()];
    if let Ok((mut world, _)) = World::open(&disk, false) {
        for &step in history {
            world.take(step);
            if disk.is_crashed() {
                break;
            }
        }
        expected = world.written;
    }
    restart(&disk, cuts_power || disk.is_crashed());
    disk.add_space();
    let first = recovered(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let is_new = first.shards.iter().all(|shard| shard.counters.is_empty());
    let is_expected = expected.contains(&first) || is_new && expected == [State::default()];
    assert!(is_expected, "{context}: found {first:?}, expected one of {expected:?}");
    restart(&disk, cuts_power);
    assert_eq!(recovered(&disk).unwrap(), first, "{context}: the second recovery differs");
}

pub(super) fn restart(disk: &MemoryDisk, cuts_power: bool) {
    if cuts_power { disk.restart() } else { disk.restart_process() }
}

fn operations(seed: u64, history: &[Step]) -> u64 {
    let disk = MemoryDisk::new(seed);
    let (mut world, _) = World::open(&disk, false).unwrap();
    history.iter().for_each(|&step| world.take(step));
    disk.operations()
}

#[test]
fn the_short_history_has_segments_and_a_snapshot_and_removes_what_it_replaces() {
    let disk = MemoryDisk::new(0);
    let (mut world, _) = World::open(&disk, false).unwrap();
    short_history().into_iter().for_each(|step| world.take(step));
    let names = crate::disk::Disk::list(&disk).unwrap();
    assert!(names.iter().any(|name| name.ends_with(".snapshot")), "{names:?}");
    assert!(!names.contains(&"000001.log".to_owned()), "{names:?}");
}

#[test]
fn each_fault_at_each_operation_of_a_short_history_loses_nothing_acknowledged() {
    let history = short_history();
    let operations = operations(0, &history);
    assert!(operations > 100, "{operations}");
    for at in 0..=operations {
        for fault in [Fault::Crash, Fault::Error, Fault::Full] {
            for cuts_power in [false, true] {
                for seed in 0..2 {
                    check(seed, &history, (at, fault), cuts_power);
                }
            }
        }
    }
}

#[test]
fn faults_in_random_histories_lose_nothing_acknowledged() {
    for seed in 0..600 {
        let mut rng = Rng::with_seed(seed);
        let history = random_history(&mut rng, 150);
        let at = rng.u64(..operations(seed, &history));
        let fault = rng.choice([Fault::Crash, Fault::Error, Fault::Full]).unwrap();
        check(seed, &history, (at, fault), rng.bool());
    }
}

#[test]
fn a_crash_at_each_operation_of_a_recovery_changes_nothing() {
    for seed in 0..10 {
        let disk = MemoryDisk::new(seed);
        let (mut world, _) = World::open(&disk, false).unwrap();
        short_history().into_iter().for_each(|step| world.take(step));
        world.source.add(7, 1);
        disk.fail_at(disk.operations() + 1, Fault::Crash);
        world.round();
        disk.restart();
        let mut found = None;
        for at in 0..20 {
            let copy = disk.copy(seed * 100 + at);
            copy.fail_at(at, Fault::Crash);
            let _ = recovered(&copy);
            copy.restart();
            let state = recovered(&copy).unwrap();
            assert_eq!(*found.get_or_insert(state.clone()), state, "seed {seed}, crash at {at}");
            assert!(world.written.contains(&state));
        }
    }
}

#[test]
fn several_lives_with_crashes_end_exact() {
    for seed in 0..100 {
        let disk = MemoryDisk::new(seed);
        let mut rng = Rng::with_seed(seed);
        let mut expected: Option<Vec<State>> = None;
        for life in 0..6 {
            let (mut world, _) =
                World::open(&disk, false).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            if let Some(expected) = expected {
                assert!(expected.contains(&world.written[0]), "seed {seed}, life {life}");
            }
            disk.fail_at(disk.operations() + rng.u64(5..60), Fault::Crash);
            for step in random_history(&mut rng, 80) {
                world.take(step);
                if disk.is_crashed() {
                    break;
                }
            }
            expected = Some(world.written);
            restart(&disk, disk.is_crashed() || rng.bool());
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_all_is_written_anew() {
    for seed in 0..50 {
        let disk = MemoryDisk::new(seed);
        let (mut world, _) = World::open(&disk, false).unwrap();
        (0..30).for_each(|name| world.take(Step::Add(name)));
        world.round();
        world.take(Step::Add(99));
        // The write succeeds, the sync behind it fails.
        disk.fail_at(disk.operations() + 1, Fault::Error);
        assert!(matches!(world.commit(), Err(RoundError::Disk(_))));
        world.rewrite().unwrap();
        let written_anew = world.state();
        // Whatever was written before has become unreadable: the new chain does without.
        disk.put("000001.log", vec![0xff; 100]);
        disk.restart();
        assert_eq!(recovered(&disk).unwrap(), written_anew);
    }
}

#[test]
fn a_round_that_a_shard_does_not_answer_is_taken_again() {
    let disk = MemoryDisk::new(0);
    let (mut world, _) = World::open(&disk, false).unwrap();
    (0..9).for_each(|name| world.take(Step::Add(name)));
    // The first shard hands out its part.
    world.source.leave_unanswered(SHARDS - 1);
    assert!(matches!(world.commit(), Err(RoundError::Source(KeyspaceError::Unanswered))));
    world.round();
    disk.restart();
    assert_eq!(recovered(&disk).unwrap(), world.state());
}

#[test]
fn a_round_ends_though_counters_change_as_fast_as_they_are_taken() {
    let disk = MemoryDisk::new(0);
    let (mut world, _) = World::open(&disk, false).unwrap();
    world.source.set_restless();
    (0..40).for_each(|name| world.take(Step::Add(name)));
    world.take(Step::LargeRound);
    let state = world.state();
    assert_eq!(world.written, std::slice::from_ref(&state));
    disk.restart();
    assert_eq!(recovered(&disk).unwrap(), state);
}

#[test]
fn a_full_disk_takes_an_orderly_end_into_reserved_space() {
    let disk = MemoryDisk::new(0);
    let (mut world, _) = World::open(&disk, false).unwrap();
    world.take(Step::PrepareSpare);
    disk.fail_at(disk.operations(), Fault::Full);
    (0..20).for_each(|name| world.take(Step::Add(name)));
    world.round();
    let state = world.state();
    assert_eq!(world.written, std::slice::from_ref(&state));
    disk.restart();
    disk.add_space();
    assert_eq!(recovered(&disk).unwrap(), state);
}

#[tokio::test]
async fn sessions_end_and_counters_stay_if_the_hash_function_has_changed() {
    let disk = MemoryDisk::new(0);
    // Its test vector is none of any hash function.
    let (mut world, _) = World::open(&disk, false).unwrap();
    (0..30).for_each(|name| world.take(Step::Add(name)));
    world.take(Step::UseSession(1));
    world.round();
    disk.restart_process();
    let shards = NonZeroUsize::new(SHARDS).unwrap();
    let options =
        StoreOptions { keyspace: KeyspaceOptions { shards, ..KeyspaceOptions::default() }, ..options() };
    let opened = Opened::open(Arc::new(disk), &options, &mut SortedColumns::default(), |_| {}).unwrap();
    assert!(opened.needs_complete, "everything is written anew before anybody counts");
    let earlier = SessionId { incarnation: 1, number: u64::MAX };
    assert!(opened.ends.iter().all(|end| end.session_floor > earlier && end.totals.sessions == 0));
    let shards = opened.shards.into_iter().map(ShardBuilder::build).collect();
    let (keyspace, _feed) = Keyspace::resume_from(options.keyspace, shards).await.unwrap();
    for (name, (count, _)) in world.source.state().iter().flat_map(|shard| &shard.counters) {
        assert_eq!(keyspace.handle().count(name).await.unwrap(), Some(*count));
    }
    assert_eq!(keyspace.shutdown().await.num_counters, 30);
}
