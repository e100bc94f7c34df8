use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError, read_secret};
use crate::random::random_bytes;

/// Minimum length of a cookie, in characters.
///
/// The proof that a node knows it can be recorded and tried offline, so it must be too long to guess.
pub const MIN_COOKIE_CHARS: usize = 32;

/// Number of random bytes in a generated cookie, each of which is two characters.
const GENERATED_BYTES: usize = 32;

/// Secret that all nodes of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(String);

/// Error of reading or writing a [`Cookie`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// There is no file.
    #[error("no cookie file at {}: make one, and copy the same to every node", path.display())]
    Missing {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The cookie is empty, or short enough to guess.
    #[error(
        "the cookie in {} has {chars} characters: use at least {MIN_COOKIE_CHARS} random ones",
        path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Number of characters, without white space around them.
        chars: usize,
    },
    /// The file exists already, and other nodes may have copies of it.
    #[error("{} exists already and is left as it is: remove it first, if no node uses it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("the cookie file {} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Error of the file system.
        #[source]
        source: io::Error,
    },
}

impl Cookie {
    /// Generates a cookie: 64 hexadecimal digits from the operating system's randomness.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give.
    #[must_use]
    pub fn generate() -> Self {
        let bytes: [u8; GENERATED_BYTES] = random_bytes();
        Self(bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }

    /// Reads a cookie from a file, without white space around it.
    ///
    /// # Errors
    ///
    /// If there is no file, it is open to other users than its owner (see [`read_secret`]), or it has fewer than
    /// [`MIN_COOKIE_CHARS`] characters.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CookieError> {
        let path = path.as_ref();
        let content = read_secret(path).map_err(|error| match error {
            FileError::Unreadable { path, source } if source.kind() == io::ErrorKind::NotFound => {
                CookieError::Missing { path }
            }
            error => error.into(),
        })?;
        let text = String::from_utf8_lossy(&content);
        let cookie = text.trim();
        match cookie.chars().count() {
            chars if chars < MIN_COOKIE_CHARS => Err(CookieError::Short { path: path.into(), chars }),
            _ => Ok(Self(cookie.into())),
        }
    }

    /// Writes the cookie to a new file that only its owner may read.
    ///
    /// # Errors
    ///
    /// If there is a file already, or it cannot be written.
    pub fn write_new(&self, path: impl AsRef<Path>) -> Result<(), CookieError> {
        let path = path.as_ref();
        files::write_new_private(path, &format!("{}\n", self.0)).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => CookieError::Exists { path: path.into() },
            _ => CookieError::Unwritable { path: path.into(), source },
        })
    }

    /// Returns the secret as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_survives_its_file_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cookie");
        let cookie = Cookie::generate();
        assert_eq!(cookie.as_str().len(), 64);
        assert_ne!(cookie, Cookie::generate());
        cookie.write_new(&path).unwrap();
        assert!(matches!(Cookie::generate().write_new(&path), Err(CookieError::Exists { .. })));
        assert_eq!(Cookie::from_file(&path).unwrap(), cookie);
    }

    #[test]
    fn a_file_without_a_good_cookie_is_refused_by_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(matches!(Cookie::from_file(path("none")), Err(CookieError::Missing { .. })));
        assert!(matches!(Cookie::generate().write_new(path("no/dir")), Err(CookieError::Unwritable { .. })));
        for (name, content, expected) in [("empty", " \n", 0), ("short", "  0123456789 \n", 10)] {
            files::write_new_private(&path(name), content).unwrap();
            let error = Cookie::from_file(path(name)).unwrap_err();
            assert!(matches!(error, CookieError::Short { chars, .. } if chars == expected), "{error}");
        }
        assert!(matches!(Cookie::from_file(dir.path()), Err(CookieError::File(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cookie");
        Cookie::generate().write_new(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = Cookie::from_file(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_cookie_is_not_printed_by_debug() {
        let cookie = Cookie::generate();
        assert!(!format!("{cookie:?}").contains(cookie.as_str()));
    }
}
