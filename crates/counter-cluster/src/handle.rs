use std::time::Duration;

use counter_keyspace::{KeyspaceError, KeyspaceHandle};
use counter_protocol::CounterName;
use ractor::RpcReplyPort;
use ractor_transport::NodeName;

use crate::acknowledge::HandleStore;
use crate::hand_over::HandOverError;
use crate::ledger::Total;
use crate::replicator::message::{ReplicatorMessage, ReplicatorOutbox};
use crate::status::{ClusterStatus, PeerStatus, Reading};

/// Handle of a node. Clones have outboxes of their own, so give each sender one.
///
/// Operations are counted by [`keyspace`](Self::keyspace), on this node, whatever becomes of others. Questions see
/// everything that was sent through the same handle before, and the counts of other nodes that have arrived by now.
/// [`refresh`](Self::refresh) asks all other nodes first.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    keyspace: KeyspaceHandle,
    /// For questions that do no harm twice.
    replicator: ReplicatorOutbox,
    pub(crate) name: NodeName,
    /// Incarnation of the node, by which its sessions are known. `None` if it does not replicate.
    pub(crate) incarnation: Option<u64>,
    pub(crate) store: Option<HandleStore>,
}

impl NodeHandle {
    pub(crate) const fn new(
        keyspace: KeyspaceHandle,
        replicator: ReplicatorOutbox,
        name: NodeName,
        incarnation: Option<u64>,
        store: Option<HandleStore>,
    ) -> Self {
        Self { keyspace, replicator, name, incarnation, store }
    }

    /// Returns the handle of this node's own counters, which shares its outboxes with this one.
    ///
    /// Count by it, such as with [`KeyspaceHandle::increment`]: questions to this handle see everything that was sent
    /// before through the returned reference, but not through its clones. Its own questions, such as
    /// [`KeyspaceHandle::value`], answer for this node alone. [`KeyspaceHandle::remove`] is not for callers: other
    /// nodes keep what was removed.
    #[must_use]
    pub const fn keyspace(&self) -> &KeyspaceHandle {
        &self.keyspace
    }

    /// Returns a counter's value, with the counts of other nodes that have arrived.
    ///
    /// # Errors
    /// [`KeyspaceError`], but never `Full`.
    pub async fn value(&self, name: impl AsRef<[u8]>) -> Result<Reading, KeyspaceError> {
        let name = CounterName::new(name.as_ref())?;
        let mine = self.keyspace.count(name.as_bytes()).await?;
        let (mut total, peers) = self.others(&name).await?;
        mine.into_iter().for_each(|count| total.add(count));
        Ok(Reading { total, peers })
    }

    /// Returns the status of the cluster, with the counts of other nodes that have arrived.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn status(&self) -> Result<ClusterStatus, KeyspaceError> {
        // What was sent through this handle is applied then.
        self.keyspace.flush().await?;
        Ok(self.replicator.call(ReplicatorMessage::GetStatus).await?)
    }

    /// Returns the `n` names with the largest values, those of equal value in order of name, with the counts of other
    /// nodes that have arrived.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn top(&self, n: usize) -> Result<Vec<(CounterName, Total)>, KeyspaceError> {
        self.keyspace.flush().await?;
        Ok(self.replicator.call(|reply| ReplicatorMessage::GetTop(n, reply)).await?)
    }

    /// Asks all nodes for their counts, of one name or in all, so that answers after this are as fresh as this call.
    ///
    /// Returns the nodes that were ever connected and did not answer within the deadline, because they are down or
    /// slow.
    ///
    /// # Errors
    /// [`KeyspaceError::Stopped`].
    pub async fn refresh(
        &self,
        name: Option<&[u8]>,
        deadline: Duration,
    ) -> Result<Vec<NodeName>, KeyspaceError> {
        let name = name.map(CounterName::new).transpose()?;
        let refresh = |reply| ReplicatorMessage::Refresh { name: name.clone(), deadline, reply };
        Ok(self.replicator.call(refresh).await?)
    }

    /// Returns the counts of other nodes of a name, and the status of those nodes.
    pub(crate) async fn others(&self, name: &CounterName) -> Result<(Total, Vec<PeerStatus>), KeyspaceError> {
        self.ask(|reply| ReplicatorMessage::GetOthers(name.clone(), reply)).await
    }

    /// Asks the replicator something that does no harm twice.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(RpcReplyPort<T>) -> ReplicatorMessage + Send + Sync,
    ) -> Result<T, KeyspaceError> {
        Ok(self.replicator.call(question).await?)
    }

    /// Hands over what peers lack. Returns each node that is or was connected, and true if it has everything.
    pub(crate) async fn hand_over(&self, deadline: Duration) -> Result<Vec<(NodeName, bool)>, HandOverError> {
        // What was sent through this handle is applied then.
        self.keyspace.flush().await.map_err(|_| HandOverError::Stopped)?;
        let handed_over = self.replicator.call(|reply| ReplicatorMessage::HandOver(deadline, reply)).await;
        handed_over.map_err(|_| HandOverError::Stopped)
    }

    /// Refuses questions from now on.
    pub(crate) fn close(&self) {
        self.replicator.close();
    }

    /// Returns the present incarnation of the replicator.
    #[cfg(test)]
    pub(crate) fn replicator(&self) -> Option<ractor::ActorRef<ReplicatorMessage>> {
        self.replicator.actor()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use counter_keyspace::{Keyspace, KeyspaceOptions};
    use ractor::{Actor, ActorProcessingErr, ActorRef};
    use ractor_outbox::{Fifo, Outbox};
    use tokio::sync::mpsc;

    use super::*;

    fn name() -> NodeName {
        "node".parse().unwrap()
    }

    /// Answers questions for the top with nothing, or holds all questions.
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
        let replicator = Outbox::supervised(Fifo::bounded(NonZeroUsize::MIN));
        replicator.redirect(first.clone());
        let handle = NodeHandle::new(keyspace.handle(), replicator.clone(), name(), None, None);
        let top = tokio::time::timeout(Duration::from_secs(60), handle.top(1));
        let (top, question) = tokio::join!(top, async {
            let question = questions.recv().await;
            first.stop_and_wait(None, None).await.unwrap();
            let (second, _task) = Actor::spawn(None, Replicator { held: None }, ()).await.unwrap();
            replicator.redirect(second);
            question
        });
        assert_eq!(top.expect("it is answered"), Ok(Vec::new()));
        drop(question);
        let second = replicator.actor().unwrap();
        second.stop_and_wait(None, None).await.unwrap();
        replicator.close();
        assert!(matches!(handle.top(1).await, Err(KeyspaceError::Stopped)));
        keyspace.shutdown().await;
    }

    #[tokio::test]
    async fn a_fresh_read_of_a_name_that_is_too_long_is_the_callers_error() {
        let keyspace = Keyspace::start(KeyspaceOptions::default()).await.unwrap();
        let replicator = Outbox::supervised(Fifo::bounded(NonZeroUsize::MIN));
        let handle = NodeHandle::new(keyspace.handle(), replicator, name(), None, None);
        let name = vec![b'a'; CounterName::MAX_BYTES + 1];
        let refreshed = handle.refresh(Some(&name), Duration::from_secs(9)).await;
        assert!(matches!(refreshed, Err(KeyspaceError::NameTooLong(_))));
        keyspace.shutdown().await;
    }
}
