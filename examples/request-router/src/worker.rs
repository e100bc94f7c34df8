//! A worker: an actor that serves one request after the other, and is listed while it is available.

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_outbox::{Batch, Fifo, Parcel};
use ractor_supervision::Lease;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::rendezvous::{ClientId, Rendezvous, WorkerId};

/// Time to serve a request.
pub(crate) const SERVICE: Duration = Duration::from_millis(1);
/// Time for a worker to get ready: filling caches, opening connections.
const WARM_UP: Duration = Duration::from_millis(20);

/// Number of requests of a client that a worker has served.
pub(crate) type Served = BTreeMap<(ClientId, WorkerId), u64>;

/// Requests, of which only the client matters here.
pub(crate) struct Work(Parcel<Fifo<ClientId>>);

impl Message for Work {}
impl From<Parcel<Fifo<ClientId>>> for Work {
    fn from(parcel: Parcel<Fifo<ClientId>>) -> Self {
        Self(parcel)
    }
}

/// The actor of a worker, which adds itself to a list.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) worker: WorkerId,
    pub(crate) list: watch::Sender<Rendezvous>,
}

/// State of a running worker. When the worker ends, this is dropped: first the worker leaves the list, then its
/// counts return to their slot, from where its successor takes them.
pub(crate) struct Listed {
    worker: Worker,
    served: Lease<Served>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.worker.list.send_modify(|list| list.remove(self.worker.worker));
    }
}

impl Actor for Worker {
    type Msg = Work;
    type State = Listed;
    type Arguments = Lease<Served>;

    async fn pre_start(
        &self,
        _: ActorRef<Work>,
        served: Lease<Served>,
    ) -> Result<Listed, ActorProcessingErr> {
        // The supervisor waits for this, so slow work belongs into `post_start`.
        sleep(WARM_UP).await;
        self.list.send_modify(|list| list.add(self.worker));
        Ok(Listed { worker: self.clone(), served })
    }

    async fn handle(
        &self,
        _: ActorRef<Work>,
        work: Work,
        state: &mut Listed,
    ) -> Result<(), ActorProcessingErr> {
        let Some(mut requests) = work.0.open() else { return Ok(()) };
        while !requests.is_empty() {
            sleep(SERVICE).await;
            // Removed when it is done: if the worker dies before, its successor serves it again.
            let Some(client) = requests.pop() else { break };
            *state.served.entry((client, self.worker)).or_default() += 1;
        }
        Ok(())
    }
}
