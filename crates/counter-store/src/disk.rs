//! The few operations on files that the store needs, so that tests can fail each of them.

mod fs;
mod memory;

use std::fmt::Debug;
use std::io;
use std::time::Duration;

pub use fs::FsDisk;
pub(crate) use fs::sync_parent;
pub use memory::{Fault, MemoryDisk};

/// Directory of a store.
///
/// Names are plain file names. What is written, created, renamed or removed may be lost or reordered by a crash until
/// the file, or the directory for the latter three, has been synced.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Locks the directory for this process until the guard is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while somebody else holds it, and errors of the operating system.
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>>;

    /// Creates an empty file, to be written and read.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and errors of the operating system.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to be written and read.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and errors of the operating system.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file, in place of another one if there is one.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns the names of all files, in arbitrary order.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes durable which files there are.
    ///
    /// # Errors
    /// Errors of the operating system: what is durable is unknown.
    fn sync_dir(&self) -> io::Result<()>;

    /// Returns the time that operations have taken since this was asked last, as far as they have not blocked for it:
    /// none, unless the disk is simulated. Whoever drives the store lets it pass before it does anything else.
    fn take_delay(&self) -> Duration {
        Duration::ZERO
    }
}

/// File of a [`Disk`].
pub trait DiskFile: Debug + Send {
    /// Writes all of these bytes. The log writes behind what it has written before, into space that it has reserved.
    ///
    /// # Errors
    /// Errors of the operating system: any part may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads up to the length of the buffer, and less only at the end of the file. Returns the number of bytes read.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Returns the length of the file in bytes.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Makes durable what has been written.
    ///
    /// # Errors
    /// Errors of the operating system: what is durable is unknown, and a second call that succeeds proves nothing.
    fn sync(&mut self) -> io::Result<()>;

    /// Extends the file to this length with zeros, for which there will be space.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], and errors of the operating system.
    fn preallocate(&mut self, len_bytes: u64) -> io::Result<()>;

    /// Makes the next reads read from the disk and not from memory, as far as that is possible.
    ///
    /// # Errors
    /// Errors of the operating system.
    fn forget_cached(&mut self) -> io::Result<()>;
}
