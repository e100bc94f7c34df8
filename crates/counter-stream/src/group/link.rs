//! Link to another member, for the cuts of one partition.

use std::time::Duration;

use ractor_outbox::CallError;
use ractor_transport::GatewayConnection;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::cut::Cut;
use crate::partition::{Partition, PartitionStatus, Standing};

use super::wire::{Reply, Request, chunks, decode_reply, encode};

/// Maximum time until another member answers. Its disk may be slow, and a cut as large as a partition.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Time after which a request that was not answered is made again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Time for which a partition that another member owns has to stand still, before this one sees whether everybody has
/// what it has. Its owner may be gone.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// Way to another member.
pub(super) trait Connection: Send + Sync + 'static {
    /// Sends a request, and returns its reply, if there is one before the deadline.
    fn ask(&self, request: &[u8], deadline: Duration) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

impl Connection for GatewayConnection {
    async fn ask(&self, request: &[u8], deadline: Duration) -> Option<Vec<u8>> {
        Self::ask(self, request, deadline).await
    }
}

/// One partition, as it goes to one other member.
pub(super) struct Link<C> {
    pub(super) partition: Partition,
    pub(super) connection: C,
}

/// Reason why a link begins anew.
enum Interruption {
    /// The other member has not answered.
    Unanswered,
    /// This member stops.
    Stopped,
}

impl From<CallError> for Interruption {
    fn from(_: CallError) -> Self {
        Self::Stopped
    }
}

impl<C: Connection> Link<C> {
    /// Sends what the other member lacks, for ever.
    pub(super) async fn run(self) {
        while let Err(Interruption::Unanswered) = self.follow().await {
            sleep(RETRY_AFTER).await;
        }
    }

    async fn follow(&self) -> Result<(), Interruption> {
        let mut status = self.partition.status.subscribe();
        let mut theirs = self.ask().await?;
        loop {
            let behind = |status: &PartitionStatus| status.committed.offset > theirs.position.offset;
            let is_owned = wait(&mut status, behind).await?.is_owned;
            if !is_owned {
                if timeout(IDLE_AFTER, status.changed()).await.is_ok() {
                    continue;
                }
                theirs = self.ask().await?;
            }
            let Some(cut) = self.partition.cut_from(theirs.position.offset).await? else { continue };
            // Nobody else may hold what a crash could take from here.
            wait(&mut status, |status| status.committed.offset >= cut.to.offset).await?;
            let sent_from = theirs.position.offset;
            theirs = self.send(&cut).await?;
            if theirs.position.offset <= sent_from {
                // It owns the partition, too, and will come there by itself.
                sleep(IDLE_AFTER).await;
                theirs = self.ask().await?;
            }
        }
    }

    /// Asks where the other member stands.
    async fn ask(&self) -> Result<Standing, Interruption> {
        let request = Request::Ask((*self.partition.id).clone());
        let standing = match self.request(&request).await? {
            Reply::Standing(standing) => standing,
            Reply::Next => return Err(Interruption::Unanswered),
        };
        if standing.position.offset > 0 {
            self.partition.compare(&standing).await?;
        }
        Ok(standing)
    }

    /// Sends a cut, and returns where the other member stands then.
    async fn send(&self, cut: &Cut) -> Result<Standing, Interruption> {
        for chunk in chunks(&self.partition.id, cut) {
            if let Reply::Standing(standing) = self.request(&Request::Chunk(Box::new(chunk))).await? {
                return Ok(standing);
            }
        }
        Err(Interruption::Unanswered)
    }

    async fn request(&self, request: &Request) -> Result<Reply, Interruption> {
        let reply = self.connection.ask(&encode(request), ANSWER_DEADLINE).await;
        reply.and_then(|bytes| decode_reply(&bytes)).ok_or(Interruption::Unanswered)
    }
}

/// Waits for a state of the partition here.
async fn wait(
    status: &mut watch::Receiver<PartitionStatus>,
    is_reached: impl FnMut(&PartitionStatus) -> bool,
) -> Result<PartitionStatus, Interruption> {
    status.wait_for(is_reached).await.map(|status| *status).map_err(|_| Interruption::Stopped)
}
