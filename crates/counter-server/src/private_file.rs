//! Files with secrets.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Permissions of users other than the owner.
const OTHERS: u32 = 0o077;

/// The same where the owner is root, who may let a group read: so do service managers that hand secrets to a service.
const OTHERS_THAN_ROOT: u32 = 0o037;

/// Reads a file. Returns `None` if users other than its owner have permissions on it.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let (mut file, mut content) = (File::open(path)?, Vec::new());
    let metadata = file.metadata()?;
    let forbidden = if metadata.uid() == 0 { OTHERS_THAN_ROOT } else { OTHERS };
    if metadata.mode() & forbidden != 0 {
        return Ok(None);
    }
    file.read_to_end(&mut content)?;
    Ok(Some(content))
}
