//! Files with secrets, which nobody but their owner may read, and with certificates.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Error of a file with a secret or a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file is missing or cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Error of the file system.
        #[source]
        source: io::Error,
    },
    /// Users other than the owner have permissions on the file.
    #[error("{} is open to other users: run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate or no key in the file.
    #[error("{} is not a PEM file with a {expected}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Expected content.
        expected: &'static str,
    },
}

/// Reads a file with a secret.
///
/// Users other than its owner must not have any permission on it, where files have permissions. Only root may let a
/// group read it: so do service managers that hand secrets to a service.
///
/// # Errors
/// [`FileError::Unreadable`], [`FileError::Exposed`].
pub fn read_secret(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let read = || {
        let (mut file, mut content) = (File::open(path)?, Vec::new());
        if is_open_to_others(&file)? {
            return Ok(None);
        }
        file.read_to_end(&mut content)?;
        Ok(Some(content))
    };
    let content = read().map_err(|source| FileError::Unreadable { path: path.into(), source })?;
    content.ok_or_else(|| FileError::Exposed { path: path.into() })
}

/// Reads a private key as PEM, which is a [secret](read_secret).
///
/// # Errors
/// [`FileError`].
pub fn read_key(path: impl AsRef<Path>) -> Result<PrivateKeyDer<'static>, FileError> {
    let path = path.as_ref();
    let malformed = |_| FileError::Malformed { path: path.into(), expected: "private key" };
    PrivateKeyDer::from_pem_slice(&read_secret(path)?).map_err(malformed)
}

/// Reads certificates as PEM, at least one.
///
/// # Errors
/// [`FileError::Unreadable`], [`FileError::Malformed`].
pub fn read_certificates(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let path = path.as_ref();
    let pem = std::fs::read(path).map_err(|source| FileError::Unreadable { path: path.into(), source })?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(FileError::Malformed { path: path.into(), expected: "certificate" }),
    }
}

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

/// Returns true if users other than the owner have a permission on the file that they must not have.
#[cfg(unix)]
fn is_open_to_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    Ok(metadata.mode() & forbidden != 0)
}

/// Returns false: files have no such permissions here.
#[cfg(not(unix))]
fn is_open_to_others(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_root_may_let_a_group_read_a_secret_and_nobody_lets_others() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_new_private(&path, "secret").unwrap();
        let is_root = std::fs::metadata(&path).unwrap().uid() == 0;
        for (mode, is_read) in
            [(0o600, true), (0o400, true), (0o640, is_root), (0o620, false), (0o604, false), (0o601, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match read_secret(&path) {
                Ok(content) => assert!(is_read && content == b"secret", "{mode:o}"),
                Err(error) => {
                    assert!(!is_read && matches!(error, FileError::Exposed { .. }), "{mode:o}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_file_without_what_is_expected_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(matches!(read_key(&path), Err(FileError::Unreadable { .. })));
        assert!(matches!(read_certificates(&path), Err(FileError::Unreadable { .. })));
        write_new_private(&path, "neither").unwrap();
        assert!(matches!(read_key(&path), Err(FileError::Malformed { expected: "private key", .. })));
        assert!(matches!(
            read_certificates(&path),
            Err(FileError::Malformed { expected: "certificate", .. })
        ));
    }
}
