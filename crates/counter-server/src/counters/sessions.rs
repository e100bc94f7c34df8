//! Sessions as clients write them.

use std::fmt;
use std::str::FromStr;

use counter_keyspace::SessionId;

/// Session as a text for clients, such as `3.17`: the incarnation of the store, and the number of the session in it.
///
/// ```
/// use counter_server::SessionToken;
///
/// let token: SessionToken = "3.17".parse()?;
/// assert_eq!((token.0.incarnation, token.0.number), (3, 17));
/// assert_eq!(token.to_string(), "3.17");
/// # Ok::<_, counter_server::InvalidSession>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken(pub SessionId);

/// Error of a text that is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid session")]
pub struct InvalidSession;

impl fmt::Display for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.incarnation, self.0.number)
    }
}

impl FromStr for SessionToken {
    type Err = InvalidSession;

    fn from_str(text: &str) -> Result<Self, InvalidSession> {
        let (incarnation, number) = text.split_once('.').ok_or(InvalidSession)?;
        let parse = |digits: &str| {
            let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
            if is_number { digits.parse().map_err(|_| InvalidSession) } else { Err(InvalidSession) }
        };
        Ok(Self(SessionId { incarnation: parse(incarnation)?, number: parse(number)? }))
    }
}
