//! Questions that a server in front of the node asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use counter_protocol::CounterName;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_transport::NodeName;
use tokio::time::{Instant, timeout_at};

use super::message::ReplicatorMessage;
use super::state::ReplicatorState;
use crate::ledger::{NamePage, Total};

/// Question of a handle.
pub(crate) enum Question {
    /// Returns the sum of each name's entries of other replicas.
    OthersOf(Arc<[CounterName]>, RpcReplyPort<Vec<Total>>),
    /// Returns names with their sums. A scan that begins has everything that was counted here before.
    Scan(Scan, RpcReplyPort<NamePage>),
    /// Replies with the number of other nodes that have received all that was counted here before, once it is this one,
    /// or after this time.
    Received(usize, Duration, RpcReplyPort<usize>),
}

/// Which names a page has.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) from: u64,
    pub(crate) most: usize,
    pub(crate) prefix: Arc<[u8]>,
}

impl ReplicatorState {
    pub(super) async fn answer_question(
        &mut self,
        myself: &ActorRef<ReplicatorMessage>,
        question: Question,
    ) -> Result<(), ActorProcessingErr> {
        match question {
            Question::OthersOf(names, reply) => {
                let _ = reply.send(names.iter().map(|name| self.others(name)).collect());
            }
            Question::Scan(scan, reply) if scan.from == 0 => {
                let answer = move |state: &mut Self, _: &_| _ = reply.send(state.scan(&scan));
                self.when_read(myself, answer).await?;
            }
            Question::Scan(scan, reply) => _ = reply.send(self.scan(&scan)),
            Question::Received(copies, within, reply) => {
                let end = Instant::now() + within;
                self.when_counted(myself, move |state, _| state.count_receivers(copies, end, reply)).await?;
            }
        }
        Ok(())
    }

    fn scan(&self, Scan { from, most, prefix }: &Scan) -> NamePage {
        self.replication.ledger().page_of_names(*from, *most, prefix)
    }

    /// Waits until this number of nodes have everything that is in the ledger now.
    fn count_receivers(&mut self, copies: usize, end: Instant, reply: RpcReplyPort<usize>) {
        let peers: Vec<_> = self.replication.peers().map(|(peer, id)| (peer, id.node.clone())).collect();
        let mut received = FuturesUnordered::new();
        for (peer, node) in peers {
            let complete = self.when_complete(peer);
            received.push(async move { complete.await.ok().map(|()| node) });
        }
        // Those that have everything already count even if the time is over.
        self.notify_waiters();
        self.questions.spawn(async move {
            let mut nodes = BTreeSet::<NodeName>::new();
            while nodes.len() < copies
                && let Ok(Some(node)) = timeout_at(end, received.next()).await
            {
                nodes.extend(node);
            }
            while let Some(Some(node)) = received.next().now_or_never() {
                nodes.extend(node);
            }
            let _ = reply.send(nodes.len());
        });
    }
}
