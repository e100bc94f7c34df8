//! Counting of generated operations.

use counter_cluster::{NodeHandle, Total};
use counter_keyspace::KeyspaceError;
use counter_node_protocol::{Load, Operation, due_after};
use tokio::time::Instant;

/// Operations after which other tasks get their turn, and the rate is checked.
const BURST: u64 = 256;

/// Counts all operations of a load on a node, and returns their sum.
pub(crate) async fn count_load(node: &NodeHandle, load: Load) -> Result<Total, KeyspaceError> {
    let begun = Instant::now();
    let mut counted = Total::default();
    for Operation { name, amount } in load.operations() {
        node.keyspace().increment(&name, amount).await?;
        counted.value += i128::from(amount);
        counted.operations += 1;
        if counted.operations.is_multiple_of(u128::from(BURST)) {
            match load.per_second {
                Some(rate) => tokio::time::sleep_until(begun + due_after(counted.operations, rate)).await,
                None => tokio::task::yield_now().await,
            }
        }
    }
    Ok(counted)
}
