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

/// Returns the reply to commands that have failed.
pub(crate) fn reply(error: &CountersError) -> Reply {
    let kind = match error {
        CountersError::Loading => return LOADING,
        CountersError::TooManyNames => return TOO_MANY_NAMES,
        CountersError::DiskFailed => "MISCONF",
        CountersError::UnknownOutcome(_) => "UNKNOWN",
        CountersError::SessionExpired => "EXPIRED",
        CountersError::Superseded => "SUPERSEDED",
        CountersError::OtherRequest => "MISMATCH",
        CountersError::RemovalForbidden => "NOPERM",
        _ => "ERR",
    };
    Reply::error(format!("{kind} {error}"))
}
