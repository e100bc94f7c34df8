//! Questions to other nodes.

use std::time::Duration;

use crate::network::Connection;
use crate::wire::{Reply, Request, decode, encode};

/// Maximum time until another node answers.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Error: another node has not answered. It may have done as it was asked, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered;

/// Asks another node.
pub(crate) async fn ask(
    connection: &dyn Connection,
    request: Request,
    deadline: Duration,
) -> Result<Reply, Unanswered> {
    let reply = connection.ask(encode(&request), deadline).await.ok_or(Unanswered)?;
    decode(&reply).map_err(|_| Unanswered)
}
