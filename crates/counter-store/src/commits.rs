use tokio::sync::watch;

use crate::error::DurabilityError;
use crate::progress::{Committed, Inbox};
use crate::replicas::Member;

/// Handle for whoever waits for rounds of a store. Clones are the same.
#[derive(Clone, Debug)]
pub struct Commits(Inbox);

impl Commits {
    pub(crate) const fn new(inbox: Inbox) -> Self {
        Self(inbox)
    }

    /// Waits until everything is durable that the shards have applied, and that columns held, before the call.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn wait(&self) -> Result<(), DurabilityError> {
        self.0.wait().await
    }

    /// Waits until the shards are durable up to these versions, also if the disk fails meanwhile. Does not ask for a
    /// round.
    ///
    /// # Errors
    /// [`DurabilityError::Stopped`].
    pub async fn wait_for(&self, versions: &[u64]) -> Result<(), DurabilityError> {
        self.0.wait_until(u64::MAX, |committed| committed.reaches(versions)).await
    }

    /// Records a store that this one replicates with, durably. Nothing may be sent to it before.
    ///
    /// # Errors
    /// [`DurabilityError`].
    pub async fn record_member(&self, member: Member) -> Result<(), DurabilityError> {
        self.0.add_member(member);
        self.0.wait().await
    }

    /// Returns how far the store is durable, now and later.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Committed> {
        self.0.committed()
    }
}
