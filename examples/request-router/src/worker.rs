//! A worker: an actor that serves one request after the other, and is listed for as long as it is there.

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use ractor_outbox::{Batch, Fifo, Parcel};
use ractor_supervision::Lease;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::rendezvous::{ClientId, Rendezvous, WorkerId};

/// What serving a request takes.
pub(crate) const SERVICE: Duration = Duration::from_millis(1);
/// What a worker takes to get ready: filling caches, opening connections.
const WARM_UP: Duration = Duration::from_millis(20);

/// How many requests of a client a worker has served.
pub(crate) type Served = BTreeMap<(ClientId, WorkerId), u64>;

/// Requests, of which only the client matters here.
pub(crate) struct Work(Parcel<Fifo<ClientId>>);

impl Message for Work {}
impl From<Parcel<Fifo<ClientId>>> for Work {
    fn from(parcel: Parcel<Fifo<ClientId>>) -> Self {
        Self(parcel)
    }
}

/// What a worker works with. However the worker ends, this is dropped: first it leaves the list, then what it has
/// served goes home, from where its successor takes it.
pub(crate) struct Desk {
    pub(crate) worker: WorkerId,
    pub(crate) list: watch::Sender<Rendezvous>,
    pub(crate) served: Lease<Served>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.list.send_modify(|list| list.remove(self.worker));
    }
}

pub(crate) struct Worker;

impl Actor for Worker {
    type Msg = Work;
    type State = Desk;
    type Arguments = Desk;

    async fn pre_start(&self, _: ActorRef<Work>, desk: Desk) -> Result<Desk, ActorProcessingErr> {
        // The supervisor waits for this; what takes long belongs into `post_start`.
        sleep(WARM_UP).await;
        desk.list.send_modify(|list| list.add(desk.worker));
        Ok(desk)
    }

    async fn handle(&self, _: ActorRef<Work>, work: Work, desk: &mut Desk) -> Result<(), ActorProcessingErr> {
        let Some(mut requests) = work.0.open() else { return Ok(()) };
        while !requests.is_empty() {
            sleep(SERVICE).await;
            // Taken out when it is done: if the worker dies before, its successor does it again.
            let Some(client) = requests.pop() else { break };
            *desk.served.entry((client, desk.worker)).or_default() += 1;
        }
        Ok(())
    }
}
