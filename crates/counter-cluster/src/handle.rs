use std::time::Duration;

use counter_keyspace::{KeyspaceError, KeyspaceHandle};
use counter_protocol::CounterName;
use ractor::rpc::CallResult;
use ractor::{ActorRef, RpcReplyPort};
use tokio::sync::watch;

use crate::replicator::ReplicatorMessage;
use crate::{HandOverError, NodeName, ReplicaId, Total, Totals};

/// What callers hold of a node. Clones have outboxes of their own, so give each sender one.
///
/// Operations are counted here, whatever becomes of other nodes. Questions see everything that was sent through the same
/// handle before, and of other nodes what has arrived by now; [`refresh`](Self::refresh) first asks them all.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    counters: KeyspaceHandle,
    replicator: watch::Receiver<Option<ActorRef<ReplicatorMessage>>>,
}

/// A counter's value in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What this node and all others have counted, as far as it is known here.
    pub total: Total,
    /// How old that may be.
    pub peers: Vec<PeerStatus>,
}

/// How things stand in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many names there are.
    pub names: u64,
    /// What each replica has counted in all.
    pub replicas: Vec<(ReplicaId, Totals)>,
    /// The other nodes.
    pub peers: Vec<PeerStatus>,
    /// Number of entries of further replicas that were refused, because there are [`MAX_REPLICAS`](crate::MAX_REPLICAS)
    /// already.
    pub refused: u64,
}

impl Standing {
    /// What all have counted together.
    #[must_use]
    pub fn total(&self) -> Total {
        let sum = |sum: Total, (_, totals): &(ReplicaId, Totals)| Total {
            value: sum.value + totals.total.value,
            operations: sum.operations + totals.total.operations,
        };
        self.replicas.iter().fold(Total::default(), sum)
    }
}

/// Another node, that is or was connected to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// What it is called.
    pub node: NodeName,
    /// Its latest incarnation.
    pub replica: ReplicaId,
    /// Whether it is connected.
    pub is_up: bool,
    /// How long ago something was heard of it: what it has counted since may be missing here.
    pub heard: Duration,
    /// How many entries it has yet to acknowledge.
    pub lag: usize,
}

impl NodeHandle {
    pub(crate) const fn new(
        counters: KeyspaceHandle,
        replicator: watch::Receiver<Option<ActorRef<ReplicatorMessage>>>,
    ) -> Self {
        Self { counters, replicator }
    }

    /// Adds `amount`, which may be negative, to this node's part of the counter of this name. If too many names wait for
    /// its shard, waits for room.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub async fn increment(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<(), KeyspaceError> {
        self.counters.increment(name, amount).await
    }

    /// The same, but does not wait for room.
    ///
    /// # Errors
    /// [`KeyspaceError`].
    pub fn try_increment(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<(), KeyspaceError> {
        self.counters.try_increment(name, amount)
    }

    /// The same, but drops and counts the operation if there is no room. True if it went in.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub fn increment_or_drop(&self, name: impl AsRef<[u8]>, amount: i64) -> Result<bool, KeyspaceError> {
        self.counters.increment_or_drop(name, amount)
    }

    /// A counter's value. Of other nodes, what has arrived.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub async fn value(&self, name: impl AsRef<[u8]>) -> Result<Reading, KeyspaceError> {
        let name = CounterName::new(name.as_ref())?;
        let mine = self.counters.count(name.as_bytes()).await?;
        let (mut total, peers) = self.ask(|reply| ReplicatorMessage::GetOthers(name.clone(), reply)).await?;
        mine.into_iter().for_each(|count| total.add(count));
        Ok(Reading { total, peers })
    }

    /// How things stand. Of other nodes, what has arrived.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn standing(&self) -> Result<Standing, KeyspaceError> {
        // What was sent through this handle is applied then.
        self.counters.stats().await?;
        self.ask(ReplicatorMessage::GetStanding).await
    }

    /// The names with the largest values, those of equal value in order of name. Of other nodes, what has arrived.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn top(&self, n: usize) -> Result<Vec<(CounterName, Total)>, KeyspaceError> {
        self.counters.stats().await?;
        self.ask(|reply| ReplicatorMessage::GetTop(n, reply)).await
    }

    /// Asks all nodes for what they hold now, of one name or in all, so that what is asked next is as fresh as this call.
    /// Returns the nodes that are known and did not answer within the deadline, because they are down or slow.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn refresh(
        &self,
        name: Option<&[u8]>,
        deadline: Duration,
    ) -> Result<Vec<NodeName>, KeyspaceError> {
        let name = name.map(CounterName::new).transpose()?;
        self.ask(|reply| ReplicatorMessage::Refresh { name: name.clone(), deadline, reply }).await
    }

    /// Hands over what peers lack. Returns all nodes that are or were connected, each with whether it has everything.
    pub(crate) async fn hand_over(&self, deadline: Duration) -> Result<Vec<(NodeName, bool)>, HandOverError> {
        // What was sent through this handle is applied then.
        self.counters.stats().await.map_err(|_| HandOverError::Stopped)?;
        let handed_over = self.ask(|reply| ReplicatorMessage::HandOver(deadline, reply)).await;
        handed_over.map_err(|_| HandOverError::Stopped)
    }

    /// The replicator as it is now.
    #[cfg(test)]
    pub(crate) fn replicator(&self) -> Option<ActorRef<ReplicatorMessage>> {
        self.replicator.borrow().clone()
    }

    /// Asks the replicator, and if it dies its successor. So this is for questions that do no harm twice.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> ReplicatorMessage,
    ) -> Result<T, KeyspaceError> {
        let mut replicator = self.replicator.clone();
        loop {
            let actor = replicator.borrow_and_update().clone();
            // A question that was sent while the actor ended may stay in its mailbox, neither answered nor dropped, for as
            // long as anybody refers to the actor.
            let replaced = tokio::select! {
                biased;
                Some(answer) = answer(actor, &question) => return Ok(answer),
                replaced = replicator.changed() => replaced,
            };
            replaced.map_err(|_| KeyspaceError::Stopped)?;
        }
    }
}

/// Returns an actor's answer; `None` if it ends first.
async fn answer<T: Send + 'static>(
    actor: Option<ActorRef<ReplicatorMessage>>,
    question: impl Fn(RpcReplyPort<T>) -> ReplicatorMessage,
) -> Option<T> {
    match actor?.call(question, None).await {
        Ok(CallResult::Success(answer)) => Some(answer),
        // The replicator answers everything that it does not die of.
        Ok(CallResult::SenderError | CallResult::Timeout) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use counter_keyspace::{Keyspace, KeyspaceOptions};
    use ractor::{Actor, ActorProcessingErr};
    use tokio::sync::mpsc;

    use super::*;

    /// Answers for nobody, or holds all questions.
    struct Replicator {
        held: Option<mpsc::Sender<ReplicatorMessage>>,
    }

    impl Actor for Replicator {
        type Msg = ReplicatorMessage;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<ReplicatorMessage>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<ReplicatorMessage>,
            message: ReplicatorMessage,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            match (&self.held, message) {
                (Some(held), message) => held.try_send(message).map_err(|_| "there is one question")?,
                (None, ReplicatorMessage::GetTop(_, reply)) => _ = reply.send(Vec::new()),
                (None, _) => return Err("only the top is asked for".into()),
            }
            Ok(())
        }
    }

    /// As if the question had been retained by the mailbox of an actor that is gone.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_neither_answered_nor_dropped_is_put_to_the_successor() {
        let keyspace = Keyspace::start(KeyspaceOptions::default()).await.unwrap();
        let (held, mut questions) = mpsc::channel(1);
        let (first, _task) = Actor::spawn(None, Replicator { held: Some(held) }, ()).await.unwrap();
        let (here, replicator) = watch::channel(Some(first.clone()));
        let handle = NodeHandle::new(keyspace.handle(), replicator);
        let top = tokio::time::timeout(Duration::from_secs(60), handle.top(1));
        let (top, question) = tokio::join!(top, async {
            let question = questions.recv().await;
            first.stop_and_wait(None, None).await.unwrap();
            let (second, _task) = Actor::spawn(None, Replicator { held: None }, ()).await.unwrap();
            here.send_replace(Some(second));
            question
        });
        assert_eq!(top.expect("it is answered"), Ok(Vec::new()));
        drop(question);
        let second = here.borrow().clone().unwrap();
        second.stop_and_wait(None, None).await.unwrap();
        drop(here);
        assert!(matches!(handle.top(1).await, Err(KeyspaceError::Stopped)));
        keyspace.shutdown().await;
    }

    #[tokio::test]
    async fn a_fresh_read_of_a_name_that_is_too_long_is_the_callers_error() {
        let keyspace = Keyspace::start(KeyspaceOptions::default()).await.unwrap();
        let (_here, replicator) = watch::channel(None);
        let handle = NodeHandle::new(keyspace.handle(), replicator);
        let name = vec![b'a'; CounterName::MAX_BYTES + 1];
        let refreshed = handle.refresh(Some(&name), Duration::from_secs(9)).await;
        assert!(matches!(refreshed, Err(KeyspaceError::NameTooLong(_))));
        keyspace.shutdown().await;
    }
}
