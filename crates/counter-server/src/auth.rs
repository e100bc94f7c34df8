//! Tokens with roles, which say what a client may do.
//!
//! A file has a token a line: its role, `read-only` or `read-write`, a space, and the token. Empty lines and lines that
//! begin with `#` are left out. A client presents the token as its password (`AUTH`) or as an HTTP bearer token.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ractor_transport::{FileError, read_secret};
use subtle::ConstantTimeEq;

/// Minimum length of a token, in bytes: what `openssl rand -hex 8` makes.
const MIN_TOKEN_BYTES: usize = 16;

/// Permissions of a client. A later role may do everything that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads counters and metrics.
    ReadOnly,
    /// Changes counters, too.
    ReadWrite,
}

/// Tokens, with the role of each.
#[derive(Default)]
pub struct Tokens(Vec<(Role, Box<[u8]>)>);

/// Error of [`Tokens::load`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not a role and a token.
    #[error(
        "line {line} of {} is not `read-only TOKEN` or `read-write TOKEN` with at least {MIN_TOKEN_BYTES} bytes",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// There is no token, so nobody would be let in.
    #[error("there is no token in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Tokens {
    /// Reads tokens from a file that is open to its owner only.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let content = read_secret(path)?;
        let path = path.to_owned();
        match Self::parse(&String::from_utf8_lossy(&content)) {
            Ok(tokens) if tokens.0.is_empty() => Err(TokensError::Empty { path }),
            Ok(tokens) => Ok(tokens),
            Err(line) => Err(TokensError::Malformed { path, line }),
        }
    }

    /// Parses the text of a file. The error is the number of the first line that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let lines = text.lines().map(str::trim).enumerate();
        let tokens =
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(index, line)| {
                let (role, token) = line.split_once(char::is_whitespace).ok_or(index + 1)?;
                let (role, token) = (Role::parse(role).ok_or(index + 1)?, token.trim_start());
                let is_token = token.len() >= MIN_TOKEN_BYTES && !token.contains(char::is_whitespace);
                is_token.then(|| (role, token.as_bytes().into())).ok_or(index + 1)
            });
        tokens.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the role of a token, if it is one. The time that takes says nothing of the tokens but their lengths.
    #[must_use]
    pub fn role(&self, token: &[u8]) -> Option<Role> {
        let mut found = None;
        for (role, known) in &self.0 {
            if bool::from(known.as_ref().ct_eq(token)) {
                found = found.max(Some(*role));
            }
        }
        found
    }
}

/// Without the tokens.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

impl Role {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "read-only" => Some(Self::ReadOnly),
            "read-write" => Some(Self::ReadWrite),
            _ => None,
        }
    }
}

/// Access to a server: for everybody, or by tokens that can be replaced while it runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Access(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    tokens: RwLock<Tokens>,
    /// Number of times that the tokens were replaced.
    generation: AtomicU64,
}

impl Access {
    /// Gives everybody every right.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }

    /// Asks for a token.
    #[must_use]
    pub fn by_token(tokens: Tokens) -> Self {
        Self(Some(Arc::new(Shared { tokens: RwLock::new(tokens), generation: AtomicU64::new(0) })))
    }

    /// Returns the role of who presents a token, or none. `None` if that gives no access.
    #[must_use]
    pub fn role(&self, token: Option<&[u8]>) -> Option<Role> {
        match &self.0 {
            None => Some(Role::ReadWrite),
            Some(shared) => shared.tokens.read().unwrap_or_else(PoisonError::into_inner).role(token?),
        }
    }

    /// Replaces the tokens, if there are any. Who has presented one that is gone has no access any more.
    pub(crate) fn replace(&self, tokens: Tokens) {
        if let Some(shared) = &self.0 {
            *shared.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
            shared.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn generation(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.generation.load(Ordering::Acquire))
    }
}

/// Role of one connection, which presents its token once.
pub(crate) struct Login {
    access: Access,
    token: Option<Box<[u8]>>,
    role: Option<Role>,
    /// Generation of the tokens that the role was found in.
    generation: u64,
}

impl Login {
    /// Returns the state of a connection that has not presented a token.
    pub(crate) fn new(access: Access) -> Self {
        let (role, generation) = (access.role(None), access.generation());
        Self { access, token: None, role, generation }
    }

    /// Takes back what the connection has presented.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.access.clone());
    }

    /// Returns true if nobody has to present a token.
    pub(crate) const fn is_open(&self) -> bool {
        self.access.0.is_none()
    }

    /// Presents a token. Returns false, and changes nothing, if there is no such token.
    pub(crate) fn present(&mut self, token: &[u8]) -> bool {
        let generation = self.access.generation();
        let Some(role) = self.access.role(Some(token)) else { return false };
        (self.token, self.role, self.generation) = (Some(token.into()), Some(role), generation);
        true
    }

    /// Returns the role, which ends when the tokens are replaced by others.
    pub(crate) fn role(&mut self) -> Option<Role> {
        // Before the role is asked for, so that a replacement in between is seen the next time.
        let generation = self.access.generation();
        if generation != self.generation {
            (self.role, self.generation) = (self.access.role(self.token.as_deref()), generation);
        }
        self.role
    }
}

/// Login where nobody has to present a token.
impl Default for Login {
    fn default() -> Self {
        Self::new(Access::open())
    }
}

/// Without the token.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("role", &self.role).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TEXT: &str = "# of monitoring\nread-only  0123456789abcdef\n\n\tread-write abcdef0123456789 \n";

    #[test]
    fn each_token_has_its_role() {
        let tokens = Tokens::parse(TEXT).unwrap();
        assert_eq!(tokens.role(b"0123456789abcdef"), Some(Role::ReadOnly));
        assert_eq!(tokens.role(b"abcdef0123456789"), Some(Role::ReadWrite));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdef ", b"read-only"] {
            assert_eq!(tokens.role(other), None);
        }
    }

    #[test]
    fn a_token_of_two_roles_has_the_greater_one() {
        let tokens = Tokens::parse("read-write 0123456789abcdef\nread-only 0123456789abcdef").unwrap();
        assert_eq!(tokens.role(b"0123456789abcdef"), Some(Role::ReadWrite));
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for line in ["read-only", "admin 0123456789abcdef", "read-only short", "read-only 0123456789 abcdef"]
        {
            assert_eq!(Tokens::parse(&format!("# first\n{line}\n")).err(), Some(2), "{line}");
        }
    }

    #[test]
    fn a_file_is_for_its_owner_and_has_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert!(matches!(Tokens::load(&path), Err(TokensError::File(FileError::Unreadable { .. }))));
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(Tokens::load(&path), Err(TokensError::File(FileError::Exposed { .. }))));
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(Tokens::load(&path).unwrap().0.len(), 2);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "# none yet\n").unwrap();
        assert!(matches!(Tokens::load(&path), Err(TokensError::Empty { .. })));
        fs::write(&path, "read-only x\n").unwrap();
        assert!(matches!(Tokens::load(&path), Err(TokensError::Malformed { line: 1, .. })));
    }

    #[test]
    fn replaced_tokens_lose_access() {
        let access = Access::by_token(Tokens::parse(TEXT).unwrap());
        let mut login = Login::new(access.clone());
        assert_eq!(login.role(), None);
        assert!(!login.present(b"something else"));
        assert!(login.present(b"0123456789abcdef"));
        assert_eq!(login.role(), Some(Role::ReadOnly));
        access.replace(Tokens::parse("read-write 0123456789abcdef").unwrap());
        assert_eq!(login.role(), Some(Role::ReadWrite));
        access.replace(Tokens::parse("read-write other-token-of-16").unwrap());
        assert_eq!(login.role(), None);
        assert!(login.present(b"other-token-of-16"));
        login.reset();
        assert_eq!(login.role(), None);
        assert_eq!(Login::new(Access::open()).role(), Some(Role::ReadWrite));
    }

    #[test]
    fn tokens_are_not_printed() {
        assert!(!format!("{:?}", Access::by_token(Tokens::parse(TEXT).unwrap())).contains("abcdef"));
    }
}
