//! Errors of the counters as replies, whose first word clients look at.

use std::borrow::Cow;

use super::encode::Reply;
use crate::counters::CountersError;

/// Reply to an operation that would create a counter beyond the limit.
pub(crate) const TOO_MANY_NAMES: Reply =
    Reply::Error(Cow::Borrowed("OOM command not allowed when used memory > 'maxmemory'."));

/// Reply while the counters are being loaded.
pub(crate) const LOADING: Reply =
    Reply::Error(Cow::Borrowed("LOADING Redis is loading the dataset in memory"));

/// Reply to a client that has not presented a token.
pub(crate) const NO_LOGIN: Reply = Reply::Error(Cow::Borrowed("NOAUTH Authentication required."));

/// Reply to such a client that says `HELLO`.
pub(crate) const NO_LOGIN_FOR_HELLO: Reply = Reply::Error(Cow::Borrowed(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option \
     can be used to authenticate the client and select the RESP protocol version at the same time",
));

/// Returns the reply to a command that the client's role does not allow.
pub(crate) fn no_permission(command: &str) -> Reply {
    Reply::error(format!("NOPERM this user has no permissions to run the '{command}' command"))
}

/// Returns the reply to commands that have failed.
pub(crate) fn reply(error: &CountersError) -> Reply {
    let kind = match error {
        CountersError::Loading => return LOADING,
        CountersError::TooManyNames => return TOO_MANY_NAMES,
        CountersError::DiskFailed
        | CountersError::Alarm(_)
        | CountersError::LogRefuses(_)
        | CountersError::PartitionStopped(_) => "MISCONF",
        // Clients send again what is answered so.
        CountersError::LogFull => "TRYAGAIN",
        CountersError::NotCounted { .. } => "UNCOUNTED",
        CountersError::NotReached { .. } => "TIMEOUT",
        CountersError::TooFewPeers { .. } => "NOREPLICAS",
        CountersError::OtherNode { .. } => "ELSEWHERE",
        CountersError::UnknownOutcome(_) => "UNKNOWN",
        CountersError::SessionExpired => "EXPIRED",
        CountersError::Superseded => "SUPERSEDED",
        CountersError::OtherRequest => "MISMATCH",
        CountersError::RemovalForbidden => "NOPERM",
        _ => "ERR",
    };
    Reply::error(format!("{kind} {error}"))
}
