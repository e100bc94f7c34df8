//! Files with secrets: nobody but their owner may read them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Writes a new file that only its owner may read.
///
/// # Errors
///
/// `AlreadyExists` if there is one, and whatever else the file system says.
pub(super) fn write_new_private(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

/// Whether others than its owner may do anything with the file. Where files have no such mode, nobody else may.
#[cfg(unix)]
pub(super) fn open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Whether others than its owner may do anything with the file. Where files have no such mode, nobody else may.
#[cfg(not(unix))]
pub(super) fn open_to_others(_: &File) -> io::Result<bool> {
    Ok(false)
}
