use super::super::RoundError;
use super::world::{State, Step, World, now, read, recovered};
use crate::disk::{Disk, Fault, MemoryDisk};
use crate::error::{Damage, OpenError};
use crate::files::segment as segment_name;

/// Returns a small database that was killed, with or without a snapshot, and its state.
fn database(has_snapshot: bool, has_lives: bool) -> (MemoryDisk, State) {
    database_of(None, has_snapshot, has_lives)
}

/// The same of a store that replicates as this node if there is one.
fn database_of(node: Option<&str>, has_snapshot: bool, has_lives: bool) -> (MemoryDisk, State) {
    let disk = MemoryDisk::new(1);
    let (mut world, _) = World::open_as(&disk, false, node).unwrap();
    for name in 0..8 {
        world.take(Step::Add(name));
        world.round();
    }
    world.take(Step::Remove(3));
    world.take(Step::UseSession(1));
    if node.is_some() {
        (0..9).for_each(|name| world.take(Step::Column(name, 2)));
        world.take(Step::Member(1));
    }
    world.round();
    if has_snapshot {
        world.snapshot();
        for name in 5..8 {
            world.take(Step::Add(name));
            world.round();
        }
    }
    if has_lives {
        disk.restart_process();
        (world, _) = World::open_as(&disk, false, node).unwrap();
        world.take(Step::Add(50));
        world.round();
    }
    let state = world.state();
    disk.restart_process();
    assert_eq!(recovered(&disk.copy(0)).unwrap(), state);
    (disk, state)
}

fn databases() -> impl Iterator<Item = (MemoryDisk, State)> {
    let kinds = [(false, false), (true, false), (false, true), (true, true)];
    let plain = kinds.into_iter().map(|(a, b)| database(a, b));
    plain.chain(kinds.into_iter().map(|(a, b)| database_of(Some("node"), a, b)))
}

/// Checks that a damaged copy leads to the state or is refused, in one line. Returns true if it is refused.
fn check(disk: &MemoryDisk, name: &str, bytes: Vec<u8>, state: &State, what: &str) -> bool {
    let copy = disk.copy(0);
    copy.put(name, bytes);
    match read(&copy) {
        Ok(found) => {
            assert_eq!(&found, state, "{name}, {what}: another state");
            false
        }
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            true
        }
    }
}

fn files(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list().unwrap().into_iter();
    names.map(|name| (name.clone(), disk.read(&name).unwrap())).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_harmless() {
    for (disk, state) in databases() {
        let mut refused = 0;
        for (name, bytes) in files(&disk) {
            // Of the watermark only the beginning of each page is in use.
            let is_used = |at: &usize| name != "watermark" || at % 4096 < 64;
            for at in (0..bytes.len()).filter(is_used) {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                refused += u32::from(check(&disk, &name, bytes, &state, &format!("byte {at}")));
            }
        }
        assert!(refused > 500, "{refused}");
    }
}

#[test]
fn a_file_that_ends_anywhere_is_refused_or_harmless() {
    for (disk, state) in databases() {
        for (name, bytes) in files(&disk) {
            for len in (0..bytes.len()).filter(|len| name != "watermark" || len % 97 == 0) {
                check(&disk, &name, bytes[..len].to_vec(), &state, &format!("cut at {len}"));
            }
        }
    }
}

#[test]
fn a_file_that_is_lost_is_refused_or_harmless() {
    for (disk, state) in databases() {
        for (name, _) in files(&disk) {
            let copy = disk.copy(0);
            copy.lose(&name);
            if let Ok(found) = recovered(&copy) {
                assert_eq!(found, state, "without {name}");
            }
        }
    }
}

#[test]
fn a_log_that_ends_before_the_watermark_is_refused_and_opened_on_demand() {
    let (disk, state) = database(false, false);
    let (name, mut bytes) = files(&disk)
        .into_iter()
        .rfind(|(name, bytes)| name.ends_with(".log") && bytes[150..].iter().any(|byte| *byte != 0))
        .unwrap();
    // The last frame of the log.
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end] ^= 1;
    disk.put(&name, bytes);
    let refused = recovered(&disk).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged(Damage::EndsEarly { by: "watermark", .. })), "{refused}");
    disk.restart_process();
    let (mut world, damage) = World::open(&disk, true).unwrap();
    assert!(matches!(damage, Some(Damage::EndsEarly { .. })), "{damage:?}");
    let found = world.state();
    assert_ne!(found, state);
    world.round();
    disk.restart_process();
    assert_eq!(recovered(&disk).unwrap(), found);
}

#[test]
fn what_was_opened_with_a_loss_is_refused_until_it_is_written_anew() {
    let (disk, _) = database(false, false);
    let mut bytes = disk.read("000001.log").unwrap();
    bytes[400] ^= 1;
    disk.put("000001.log", bytes);
    let (world, damage) = World::open(&disk, true).unwrap();
    assert!(damage.is_some());
    drop(world);
    assert!(recovered(&disk).is_err());
    let (mut world, _) = World::open(&disk, true).unwrap();
    world.round();
    assert_eq!(recovered(&disk).unwrap(), world.state());
}

#[test]
fn a_newer_format_is_refused_by_its_version() {
    let (disk, _) = database(false, false);
    let mut header = Vec::new();
    crate::header::tests::write_newer(&mut header);
    let mut bytes = disk.read("000001.log").unwrap();
    bytes[..header.len()].copy_from_slice(&header);
    disk.put("000001.log", bytes);
    assert!(matches!(recovered(&disk).unwrap_err(), OpenError::Newer { found: 3, known: 2 }));
}

#[test]
fn a_store_that_is_open_is_refused_to_others() {
    let disk = MemoryDisk::new(0);
    let lock = disk.lock().unwrap();
    assert!(matches!(recovered(&disk).unwrap_err(), OpenError::Locked));
    drop(lock);
    recovered(&disk).unwrap();
}

#[test]
fn totals_that_do_not_add_up_are_refused() {
    let disk = MemoryDisk::new(0);
    let (mut world, _) = World::open(&disk, false).unwrap();
    world.take(Step::Add(1));
    world.commit().unwrap();
    // A feed that forgets a counter: the totals tell.
    world.take(Step::Add(2));
    now(crate::source::Source::finish_all(&mut world.source, usize::MAX)).unwrap();
    crate::source::Source::confirm(&mut world.source);
    world.take(Step::Add(4));
    assert!(matches!(world.commit(), Ok(()) | Err(RoundError::Disk(_))));
    disk.restart_process();
    assert!(matches!(recovered(&disk).unwrap_err(), OpenError::Lost(Damage::Totals { shard: 0 })));
}

#[test]
fn a_snapshot_that_cannot_be_read_back_replaces_nothing() {
    let (disk, _) = database(false, false);
    let (mut world, _) = World::open(&disk, false).unwrap();
    let before = disk.list().unwrap();
    world.committer.start_snapshot().unwrap();
    while world.committer.has_snapshot_step() {
        world.take(Step::Snapshot);
    }
    world.round();
    let name = disk.list().unwrap().into_iter().find(|name| name.ends_with(".snapshot")).unwrap();
    let mut bytes = disk.read(&name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    rot(&disk, &name, bytes);
    disk.fail_at(u64::MAX, Fault::Error);
    while world.committer.has_snapshot_step() {
        world.take(Step::Snapshot);
    }
    let after = disk.list().unwrap();
    assert!(!after.contains(&name) && before.iter().all(|name| name == "spare" || after.contains(name)));
    disk.restart_process();
    assert_eq!(recovered(&disk).unwrap(), world.state());
}

#[test]
fn what_a_failed_sync_has_left_in_memory_alone_is_not_built_upon() {
    for seed in 0..50 {
        let disk = MemoryDisk::new(seed);
        let (mut world, _) = World::open(&disk, false).unwrap();
        world.take(Step::Add(1));
        world.round();
        world.take(Step::Add(99));
        // The write succeeds, the sync behind it fails, and the process ends before it can write anew.
        disk.fail_at(disk.operations() + 1, Fault::Error);
        assert!(matches!(world.commit(), Err(RoundError::Disk(_))));
        disk.restart_process();
        let (mut world, _) = World::open(&disk, false).unwrap();
        world.take(Step::Add(2));
        world.round();
        disk.restart();
        assert_eq!(recovered(&disk).unwrap(), world.state(), "seed {seed}");
    }
}

#[test]
fn lives_that_have_left_nothing_readable_had_other_incarnations() {
    let disk = MemoryDisk::new(1);
    let mut last = 0;
    for segment in 1..4 {
        let (world, _) = World::open(&disk, false).unwrap();
        let incarnation = world.committer.log.header().incarnation;
        assert!(incarnation > last);
        last = incarnation;
        rot(&disk, &segment_name(segment), vec![0xff; 64]);
    }
}

#[test]
fn a_life_whose_header_has_rotted_had_another_incarnation_than_the_next() {
    let disk = MemoryDisk::new(1);
    let (mut world, _) = World::open(&disk, false).unwrap();
    world.take(Step::Add(0));
    world.round();
    drop(world);
    let mut last = 1;
    for segment in 2..5 {
        disk.restart_process();
        let (world, _) = World::open(&disk, false).unwrap();
        let incarnation = world.committer.log.header().incarnation;
        assert!(incarnation > last, "{incarnation} is behind {last}");
        last = incarnation;
        rot(&disk, &segment_name(segment), vec![0xff; 64]);
    }
}

/// Changes the contents of a file that is open.
fn rot(disk: &MemoryDisk, name: &str, bytes: Vec<u8>) {
    let mut file = disk.open(name).unwrap();
    file.write_at(0, &bytes).unwrap();
    file.sync().unwrap();
}
