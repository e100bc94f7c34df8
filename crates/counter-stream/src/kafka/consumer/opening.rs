//! Taking a partition over: from the node that holds its counts, and from the brokers that have its log.

use std::error::Error;
use std::time::Duration;

use tokio::time::sleep;

use super::RETRY;
use crate::kafka::audit::{Divergence, LogBounds, OutOfRange, first_offset};
use crate::kafka::broker::BrokerError;
use crate::kafka::identity::TopicIdentity;
use crate::kafka::owner::{Destination, Owner};
use crate::kafka::topic::TopicClient;
use crate::record::Position;

/// Maximum interval between attempts while brokers do not answer.
const MAX_RETRY: Duration = Duration::from_secs(5);

/// Partition that can be read.
pub(super) struct Opened<P> {
    pub(super) destination: P,
    pub(super) offset: u64,
    /// Epoch of the leader at the time.
    pub(super) epoch: Option<u32>,
}

/// Reason why a partition is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("partition not taken over: {0}")]
    Owner(Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Divergence(#[from] Divergence),
    #[error(
        "topic that was deleted and created again: count the new one in empty directories with a higher --generation"
    )]
    Recreated,
}

/// Takes a partition over. Goes on trying while brokers do not answer.
pub(super) async fn open<O: Owner>(
    owner: O,
    identity: TopicIdentity,
    mut client: TopicClient,
    partition: i32,
    missing: OutOfRange,
) -> Result<Opened<O::Partition>, OpenError> {
    let number = u32::try_from(partition).map_err(|error| OpenError::Owner(error.into()))?;
    let destination = owner.own(identity.partition(number)).await.map_err(OpenError::Owner)?;
    let position = destination.position();
    let mut retry = RETRY;
    let (topic_id, epoch, bounds) = loop {
        match look(&mut client, partition, position).await {
            Ok(seen) => break seen,
            Err(error) => tracing::warn!(partition, %error, "waiting for the leader of a partition"),
        }
        sleep(retry).await;
        retry = (retry * 2).min(MAX_RETRY);
    };
    if topic_id != identity.topic_id {
        return Err(OpenError::Recreated);
    }
    let offset = first_offset(position, bounds, missing)?;
    if offset > position.offset {
        tracing::warn!(partition, from = position.offset, to = offset, "skipping records that are gone");
    }
    Ok(Opened { destination, offset, epoch })
}

async fn look(
    client: &mut TopicClient,
    partition: i32,
    position: Position,
) -> Result<([u8; 16], Option<u32>, LogBounds), BrokerError> {
    let view = client.view().await?;
    let bounds = client.bounds(&view, partition, position).await?;
    let epoch = view.leaders.get(&partition).and_then(|leader| leader.epoch);
    Ok((view.id, epoch, bounds))
}
