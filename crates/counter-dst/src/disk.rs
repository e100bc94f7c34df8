//! A node's disk: one in memory, whose operations are traced and may be a node's last.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use counter_store::disk::{Disk, DiskFile, MemoryDisk};

use crate::world::{Life, World};

/// Disk as one life of a node sees it. Once that life is over, nothing is written any more.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedDisk {
    pub(crate) world: World,
    pub(crate) life: Life,
    pub(crate) disk: MemoryDisk,
}

#[derive(Debug)]
struct SimulatedFile {
    name: String,
    file: Box<dyn DiskFile>,
    disk: SimulatedDisk,
}

impl SimulatedDisk {
    /// Carries out an operation that changes something, if the node still lives. If the node ends within it, the
    /// operation has been carried out or not.
    fn change<T>(&self, what: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let was_alive = self.world.lock().lives(self.life);
        if self.world.operates(self.life) {
            self.world.lock().takes_time(self.life.node);
            let done = act();
            let outcome = if done.is_ok() { "" } else { " fails" };
            self.world.note(format_args!("n{} disk {what}{outcome}", self.life.node));
            self.copy_if_due();
            return done;
        }
        if was_alive {
            self.world.note(format_args!("n{} ends within {what}", self.life.node));
            if self.life.number.is_multiple_of(2) {
                let _ = act();
            }
        }
        Err(io::Error::other("power failure"))
    }

    /// Recovers a copy of what the disk holds now, if one is to be made.
    fn copy_if_due(&self) {
        let copy = {
            let mut state = self.world.lock();
            let node = &mut state.nodes[self.life.node];
            let copy = node.copy.take_if(|(left, _)| *left == 0).map(|(_, copy)| copy);
            if let Some((left, _)) = &mut node.copy {
                *left -= 1;
            }
            // Nobody knows what may be found on a disk that has rotted.
            copy.filter(|_| !node.has_rotted)
        };
        if let Some(copy) = copy {
            self.world.note(format_args!("n{} is copied", self.life.node));
            let kept = copy.recover(&self.disk).and_then(|images| {
                images.iter().try_for_each(|image| self.world.copied(self.life.node, image))
            });
            self.world.check(kept.map_err(|violation| format!("n{}: {violation}", self.life.node)));
        }
    }

    fn file(&self, name: &str, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile { name: name.into(), file, disk: self.clone() })
    }
}

impl Disk for SimulatedDisk {
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>> {
        self.disk.lock()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.change(&format!("create {name}"), || self.disk.create(name))?;
        Ok(self.file(name, file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(&format!("rename {from} {to}"), || self.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(&format!("remove {name}"), || self.disk.remove(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change("sync directory", || self.disk.sync_dir())
    }

    fn take_delay(&self) -> Duration {
        let mut state = self.world.lock();
        if state.lives(self.life) {
            std::mem::take(&mut state.nodes[self.life.node].disk_time)
        } else {
            Duration::ZERO
        }
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let what = format!("write {} {offset} {}", self.name, bytes.len());
        self.disk.change(&what, || self.file.write_at(offset, bytes))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.change(&format!("sync {}", self.name), || self.file.sync())
    }

    fn preallocate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.disk
            .change(&format!("preallocate {} {len_bytes}", self.name), || self.file.preallocate(len_bytes))
    }

    fn forget_cached(&mut self) -> io::Result<()> {
        self.file.forget_cached()
    }
}
