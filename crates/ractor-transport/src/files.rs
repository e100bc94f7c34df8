//! Files with secrets, which nobody but their owner may read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Writes a new file that only its owner may read.
///
/// # Errors
///
/// `AlreadyExists` if there is one, and whatever else the file system says.
pub(crate) fn write_new_private(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

/// Returns true if users other than the owner have any permission on the file.
#[cfg(unix)]
pub(crate) fn open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// Returns false: files have no such permissions here.
#[cfg(not(unix))]
pub(crate) fn open_to_others(_: &File) -> io::Result<bool> {
    Ok(false)
}
