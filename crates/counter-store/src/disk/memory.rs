//! A disk in memory that does what disks may do: it loses, tears and reorders what is not synced, fails, fills up and
//! rots. Everything is decided by seeds.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use super::{Disk, DiskFile};

/// Unit that a disk writes as a whole, in bytes.
const SECTOR_BYTES: usize = 512;

/// A fault at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power fails: this operation and all later ones fail, until [`MemoryDisk::restart`].
    Crash,
    /// The operation fails once. A failed write may have written a part; what a failed sync should have made durable
    /// may never become durable, though it is read back.
    Error,
    /// From this operation on nothing can be extended, until [`MemoryDisk::add_space`].
    Full,
}

/// Directory in memory. Clones are the same directory.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    files: Vec<Content>,
    /// Directory as the process sees it: names and indices in `files`.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of the directory since it was synced, each of which happens as a whole or not at all.
    pending_names: Vec<Vec<(String, Option<usize>)>>,
    /// Number of operations so far.
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_crashed: bool,
    is_full: bool,
    is_locked: bool,
    /// Number of restarts: files and locks of an earlier life are of no use.
    life: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the file was synced.
    pending: Vec<(usize, Vec<u8>)>,
}

impl MemoryDisk {
    /// Creates an empty directory, whose accidents are drawn from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            operations: 0,
            fault: None,
            is_crashed: false,
            is_full: false,
            is_locked: false,
            life: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Plans a fault at the operation with this number, counted from the creation of the disk.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// Returns the number of operations so far. Reading is none.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Returns true if the power has failed.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.state().is_crashed
    }

    /// Starts again after the power has failed: of what was not synced, any part is lost, in any order.
    pub fn restart(&self) {
        let state = &mut *self.state();
        for change in std::mem::take(&mut state.pending_names) {
            if state.rng.bool() {
                change.into_iter().for_each(|(name, file)| set(&mut state.durable_names, name, file));
            }
        }
        for file in &mut state.files {
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                write_torn(&mut state.rng, &mut file.durable, offset, &bytes);
            }
            file.bytes.clone_from(&file.durable);
        }
        state.names.clone_from(&state.durable_names);
        state.reopen();
    }

    /// Starts again after the process was killed: the system still knows all that was written.
    pub fn restart_process(&self) {
        self.state().reopen();
    }

    /// Lets files be extended again.
    pub fn add_space(&self) {
        self.state().is_full = false;
    }

    /// Returns a copy of the directory as it is, with a seed of its own, as after the process was killed.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        {
            let (state, from) = (&mut *copy.state(), &*self.state());
            state.files.clone_from(&from.files);
            state.names.clone_from(&from.names);
            state.durable_names.clone_from(&from.durable_names);
            state.pending_names.clone_from(&from.pending_names);
        }
        copy
    }

    /// Returns the content of a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|&file| state.files[file].bytes.clone())
    }

    /// Puts a file into the directory, durably, in place of one of that name. This is how bits rot.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let state = &mut *self.state();
        let file = state.files.len();
        state.files.push(Content { durable: bytes.clone(), bytes, pending: Vec::new() });
        state.names.insert(name.into(), file);
        state.durable_names.insert(name.into(), file);
    }

    /// Takes a file out of the directory, durably.
    pub fn lose(&self, name: &str) {
        let state = &mut *self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, index: usize) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { disk: self.clone(), index, life: self.state().life })
    }
}

impl State {
    fn reopen(&mut self) {
        self.is_crashed = false;
        self.is_locked = false;
        self.fault = None;
        self.life += 1;
    }

    /// Counts an operation. Returns true if it has to fail.
    fn fails(&mut self) -> io::Result<bool> {
        if self.is_crashed {
            return Err(power_failure());
        }
        let fault = self.fault.take_if(|(at, _)| *at == self.operations).map(|(_, fault)| fault);
        self.operations += 1;
        match fault {
            None => Ok(false),
            Some(Fault::Error) => Ok(true),
            Some(Fault::Full) => {
                self.is_full = true;
                Ok(false)
            }
            Some(Fault::Crash) => {
                self.is_crashed = true;
                Ok(true)
            }
        }
    }

    /// Changes the directory, if the operation does not fail.
    fn change(&mut self, changes: Vec<(String, Option<usize>)>) -> io::Result<()> {
        // A change that fails because of the power may have been made.
        let fails = self.fails()?;
        if !fails {
            for (name, file) in changes.clone() {
                set(&mut self.names, name, file);
            }
        }
        if !fails || self.is_crashed {
            self.pending_names.push(changes);
        }
        if fails { Err(failure()) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        if self.is_crashed {
            return Err(power_failure());
        }
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>> {
        let state = &mut *self.state();
        if state.is_locked {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.is_locked = true;
        Ok(Box::new(MemoryLock { disk: self.clone(), life: state.life }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let index = {
            let state = &mut *self.state();
            if state.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if state.is_full {
                state.fails()?;
                return Err(ErrorKind::StorageFull.into());
            }
            state.files.push(Content::default());
            let index = state.files.len() - 1;
            state.change(vec![(name.into(), Some(index))])?;
            index
        };
        Ok(self.file(index))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let index = self.state().find(name)?;
        Ok(self.file(index))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let state = &mut *self.state();
        let file = state.find(from)?;
        state.change(vec![(to.into(), Some(file)), (from.into(), None)])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let state = &mut *self.state();
        state.find(name)?;
        state.change(vec![(name.into(), None)])
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let state = &mut *self.state();
        if state.fails()? {
            return Err(failure());
        }
        state.pending_names.clear();
        state.durable_names.clone_from(&state.names);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    index: usize,
    life: u64,
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let state = &mut *self.disk.state();
        if state.life == self.life { act(state, self.index) } else { Err(power_failure()) }
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state, index| {
            let fails = state.fails()?;
            let offset = usize::try_from(offset).expect("a small file");
            let file = &mut state.files[index];
            if state.is_full && offset + bytes.len() > file.bytes.len() {
                return Err(ErrorKind::StorageFull.into());
            }
            let written = if fails { &bytes[..state.rng.usize(..=bytes.len())] } else { bytes };
            write(&mut file.bytes, offset, written);
            file.pending.push((offset, written.to_vec()));
            if fails { Err(failure()) } else { Ok(()) }
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|state, index| {
            if state.is_crashed {
                return Err(power_failure());
            }
            let bytes = &state.files[index].bytes;
            let rest =
                usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.with(|state, index| Ok(state.files[index].bytes.len() as u64))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state, index| {
            let fails = state.fails()?;
            let file = &mut state.files[index];
            if !fails {
                let pending = std::mem::take(&mut file.pending);
                pending.iter().for_each(|(offset, bytes)| write(&mut file.durable, *offset, bytes));
                return Ok(());
            }
            // Linux marks pages as clean when writing them has failed: a later sync succeeds without them.
            for (offset, bytes) in std::mem::take(&mut file.pending) {
                write_torn(&mut state.rng, &mut file.durable, offset, &bytes);
            }
            Err(failure())
        })
    }

    fn preallocate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.with(|state, index| {
            let fails = state.fails()?;
            if fails {
                return Err(failure());
            }
            if state.is_full {
                return Err(ErrorKind::StorageFull.into());
            }
            let len = usize::try_from(len_bytes).expect("a small file");
            let file = &mut state.files[index];
            let from = file.bytes.len();
            file.bytes.resize(len.max(from), 0);
            file.pending.push((from, vec![0; len.saturating_sub(from)]));
            Ok(())
        })
    }

    fn forget_cached(&mut self) -> io::Result<()> {
        self.with(|state, index| {
            // What the disk holds is read from now on, if nothing waits to be written.
            let file = &mut state.files[index];
            if file.pending.is_empty() {
                file.bytes.clone_from(&file.durable);
            }
            Ok(())
        })
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: MemoryDisk,
    life: u64,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let state = &mut *self.disk.state();
        if state.life == self.life {
            state.is_locked = false;
        }
    }
}

fn set(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => _ = names.insert(name, file),
        None => _ = names.remove(&name),
    }
}

fn write(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

/// Writes all sectors, none, those before some place, or any of them.
fn write_torn(rng: &mut Rng, into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    match rng.u8(..4) {
        0 => {}
        1 => write(into, offset, bytes),
        2 => write(into, offset, &bytes[..rng.usize(..=bytes.len())]),
        _ => {
            for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if rng.bool() {
                    write(into, offset + n * SECTOR_BYTES, sector);
                }
            }
        }
    }
}

fn power_failure() -> io::Error {
    io::Error::other("power failure")
}

fn failure() -> io::Error {
    io::Error::other("input/output error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_one_file(seed: u64) -> (MemoryDisk, Box<dyn DiskFile>) {
        let disk = MemoryDisk::new(seed);
        let file = disk.create("a").unwrap();
        disk.sync_dir().unwrap();
        (disk, file)
    }

    #[test]
    fn what_is_synced_survives_and_what_is_not_may_be_lost() {
        let (mut lost, mut kept) = (false, false);
        for seed in 0..50 {
            let (disk, mut file) = with_one_file(seed);
            file.write_at(0, b"old").unwrap();
            file.sync().unwrap();
            file.write_at(3, b"new").unwrap();
            disk.restart();
            let bytes = disk.read("a").unwrap();
            assert!(bytes.starts_with(b"old"));
            lost |= bytes == b"old";
            kept |= bytes == b"oldnew";
        }
        assert!(lost && kept);
    }

    #[test]
    fn a_failed_sync_is_not_made_up_for_by_the_next() {
        let lost = (0..50).filter(|&seed| {
            let (disk, mut file) = with_one_file(seed);
            file.write_at(0, b"x").unwrap();
            disk.fail_at(disk.operations(), Fault::Error);
            file.sync().unwrap_err();
            assert_eq!(disk.read("a").unwrap(), b"x");
            file.sync().unwrap();
            disk.restart();
            disk.read("a").unwrap().is_empty()
        });
        assert!(lost.count() > 10);
    }

    #[test]
    fn a_full_disk_still_takes_what_was_reserved() {
        let (disk, mut file) = with_one_file(0);
        file.preallocate(4).unwrap();
        disk.fail_at(disk.operations(), Fault::Full);
        file.write_at(0, b"1234").unwrap();
        assert_eq!(file.write_at(4, b"5").unwrap_err().kind(), ErrorKind::StorageFull);
        disk.add_space();
        file.write_at(4, b"5").unwrap();
    }
}
