//! Answers of a member to others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use counter_store::Commits;
use ractor_transport::NodeName;

use crate::partition::Standing;
use crate::partitions::Partitions;

use super::assembly::{Assembled, Assemblies};
use super::wire::{Chunk, Reply, Request, decode_request, encode};

/// Answers of a member to the others. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    partitions: Partitions,
    commits: Commits,
    assemblies: Arc<Mutex<Assemblies<NodeName>>>,
}

impl Exchange {
    pub(crate) fn new(partitions: Partitions, commits: Commits) -> Self {
        Self { partitions, commits, assemblies: Arc::new(Mutex::new(Assemblies::new())) }
    }

    /// Answers a request. `None` if it makes no sense, or the member cannot answer.
    pub(super) async fn answer(&self, sender: NodeName, request: &[u8]) -> Option<Vec<u8>> {
        let Some(request) = decode_request(request) else {
            tracing::warn!(%sender, "refused a malformed message of another member: is it of another version?");
            return None;
        };
        let reply = match request {
            Request::Ask(id) => {
                // A question alone starts no partition.
                let standing = match self.partitions.get(&id) {
                    Some(partition) => partition.standing().await.ok()?,
                    None => Standing::default(),
                };
                Reply::Standing(standing)
            }
            Request::Chunk(chunk) => self.take(sender, *chunk).await?,
        };
        Some(encode(&reply))
    }

    async fn take(&self, sender: NodeName, chunk: Chunk) -> Option<Reply> {
        let partition = self.partitions.get_or_start(&chunk.partition).await.ok()?;
        let assembled = self.assemblies().push(sender, chunk);
        let standing: Standing = match assembled {
            Assembled::Part => return Some(Reply::Next),
            Assembled::Broken => partition.standing().await.ok()?,
            Assembled::Whole(cut) => {
                let standing = partition.apply(&Arc::new(cut)).await.ok()?;
                // The reply says that all of it is durable.
                self.commits.wait().await.ok()?;
                standing
            }
        };
        Some(Reply::Standing(standing))
    }

    /// Forgets what members that are gone have sent in part.
    pub(super) fn retain(&self, present: &BTreeSet<NodeName>) {
        self.assemblies().retain(|sender| present.contains(sender));
    }

    fn assemblies(&self) -> MutexGuard<'_, Assemblies<NodeName>> {
        self.assemblies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
