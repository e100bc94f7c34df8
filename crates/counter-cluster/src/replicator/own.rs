//! The way of the node's own changes into its ledger: at once, or once they are durable if the node has a store.

use counter_keyspace::RoundPage;
use counter_protocol::{Count, CounterName};
use counter_store::{Commits, DurabilityError};
use mutations::Mutation;
use ractor::{ActorProcessingErr, ActorRef};

use super::message::ReplicatorMessage;
use super::state::ReplicatorState;

/// Maximum number of changed counters that are taken from a shard at once.
const CHANGES_AT_ONCE: usize = 4096;

/// Action to take once the ledger holds something.
pub(super) type Then = Box<dyn FnOnce(&mut ReplicatorState, &ActorRef<ReplicatorMessage>) + Send>;

/// Changes of a node with a store that are not in the ledger yet. While they wait for the store, nothing else is taken
/// from the shards, whose feed holds each changed counter once.
#[derive(Default)]
pub(super) struct OwnChanges {
    /// Counts that have been taken, until they are durable.
    taken: Option<Vec<(CounterName, Count)>>,
    /// Number of times that changes have been taken.
    times: u64,
    /// Actions to take, and after how many times.
    waiting: Vec<(u64, Then)>,
}

impl ReplicatorState {
    /// Takes what has changed, as the next round of replication.
    pub(super) async fn collect(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
    ) -> Result<(), ActorProcessingErr> {
        match self.commits() {
            None => {
                let (counts, _) = self.take_changes().await?;
                self.replication.counted(counts);
            }
            Some(commits) if self.own.taken.is_none() => self.take_durably(myself, commits).await?,
            Some(_) => {}
        }
        Ok(())
    }

    /// Does something once the ledger holds all that the shards have applied by now. With a store, that is durable
    /// then.
    pub(super) async fn when_counted(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        then: impl FnOnce(&mut Self, &ActorRef<ReplicatorMessage>) + Send + 'static,
    ) -> Result<(), ActorProcessingErr> {
        let Some(commits) = self.commits() else {
            self.collect(myself).await?;
            then(self, myself);
            return Ok(());
        };
        // What is taken now comes after what was taken before.
        self.own.waiting.push((self.own.times + 1, Box::new(then)));
        if self.own.taken.is_none() {
            self.take_durably(myself, commits).await?;
        } else {
            // Before its turn, what was taken has to be durable.
            self.questions.spawn(async move { _ = commits.wait().await });
        }
        Ok(())
    }

    /// Answers a question of this node once the ledger holds all that was counted here before; with a disk that has
    /// failed, at once.
    pub(super) async fn when_read(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        then: impl FnOnce(&mut Self, &ActorRef<ReplicatorMessage>) + Send + 'static,
    ) -> Result<(), ActorProcessingErr> {
        let has_failed = self.commits().is_some_and(|commits| commits.committed().borrow().is_failed);
        if has_failed {
            then(self, myself);
            return Ok(());
        }
        self.when_counted(myself, then).await
    }

    /// Puts what has become durable into the ledger.
    pub(super) async fn committed(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
    ) -> Result<(), ActorProcessingErr> {
        self.replication.counted(self.own.taken.take().into_iter().flatten());
        let times = self.own.times;
        let (due, waiting) =
            std::mem::take(&mut self.own.waiting).into_iter().partition(|(after, _)| *after <= times);
        self.own.waiting = waiting;
        let due: Vec<(u64, Then)> = due;
        due.into_iter().for_each(|(_, then)| then(self, myself));
        match self.commits() {
            Some(commits) if !self.own.waiting.is_empty() => self.take_durably(myself, commits).await,
            _ => Ok(()),
        }
    }

    /// Returns the store's rounds, if the node's changes have to be durable before others see them.
    pub(super) fn commits(&self) -> Option<Commits> {
        self.store.as_ref().map(|store| store.commits.clone())
    }

    /// Takes what has changed, and waits on a task until it is durable.
    async fn take_durably(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        commits: Commits,
    ) -> Result<(), ActorProcessingErr> {
        let (counts, versions) = self.take_changes().await?;
        if Mutation::ReplicateBeforeCommit.is_planted() {
            self.replication.counted(counts.iter().cloned());
        }
        let is_waited_for = !self.own.waiting.is_empty();
        if counts.is_empty() && !is_waited_for {
            return Ok(());
        }
        self.own.taken = Some(counts);
        self.own.times += 1;
        let myself = myself.clone();
        self.questions.spawn(async move {
            let durable = match is_waited_for.then(|| commits.wait()) {
                Some(wait) => wait.await,
                None => Err(DurabilityError::UnknownOutcome),
            };
            // A disk that fails takes longer.
            if durable.is_ok() || commits.wait_for(&versions).await.is_ok() {
                let _ = myself.cast(ReplicatorMessage::Committed);
            }
        });
        Ok(())
    }

    /// Takes everything that has changed until now from the shards, and returns their versions, too.
    async fn take_changes(&mut self) -> Result<(Vec<(CounterName, Count)>, Vec<u64>), ActorProcessingErr> {
        let (mut counts, mut versions) = (Vec::new(), Vec::new());
        for shard in 0..self.feed.shards() {
            // After the first time, as many as there were then: what changes meanwhile is for the next round.
            let mut to_take = usize::MAX;
            while to_take > 0 {
                let page = self.feed.pull(shard, CHANGES_AT_ONCE.min(to_take)).await?;
                to_take = to_take.saturating_sub(page.changed.len()).min(page.left);
                counts.extend(counted(&page));
            }
            let end = self.feed.finish(shard).await?;
            counts.extend(counted(&end));
            versions.push(end.end.map_or(0, |end| end.version));
            self.feed.confirm(shard);
        }
        Ok((counts, versions))
    }
}

fn counted(page: &RoundPage) -> impl Iterator<Item = (CounterName, Count)> {
    page.changed.iter().map(|entry| {
        (CounterName::try_from(entry.name).expect("a counter's name is within the limit"), entry.count)
    })
}
