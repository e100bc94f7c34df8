//! Files with secrets.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Permissions of users other than the owner.
const OTHERS: u32 = 0o077;

/// Reads a file. Returns `None` if users other than its owner have any permission on it.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let (mut file, mut content) = (File::open(path)?, Vec::new());
    if file.metadata()?.mode() & OTHERS != 0 {
        return Ok(None);
    }
    file.read_to_end(&mut content)?;
    Ok(Some(content))
}
