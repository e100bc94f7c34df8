//! Flow control over mailboxes that have no bound of their own.

use counter_actor::{CounterError, CounterHandle};
use futures_util::future::try_join_all;

/// Waits until these counters have applied everything that this task has sent to them.
///
/// Whoever sends a bounded number of operations between two calls of this has bounded what waits in mailboxes.
pub(crate) async fn settle(counters: impl IntoIterator<Item = &CounterHandle>) -> Result<(), CounterError> {
    try_join_all(counters.into_iter().map(CounterHandle::value)).await.map(drop)
}
