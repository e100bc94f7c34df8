//! The router, held by callers. It is no actor, so a caller that waits for one worker delays nobody else.

use std::num::NonZeroUsize;

use ractor_outbox::{Fifo, Outbox};
use ractor_supervision::{Options, StateSlot, SupervisedActor, SupervisorError, SupervisorHandle};
use tokio::sync::watch;

use crate::rendezvous::{ClientId, Rendezvous};
use crate::worker::{Served, Work, Worker};

/// Maximum number of requests that wait for a worker; as many again may be in its hands.
pub(crate) const CAPACITY: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// Policy for a request whose worker has no room for it. The request is dropped, its sender waits, or it goes to the
/// client's next worker, and is dropped if that one has no room either.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    Drop,
    Block,
    Reroute,
}

pub(crate) struct Router {
    pub(crate) outboxes: Vec<Outbox<Fifo<ClientId>, Work>>,
    served: Vec<StateSlot<Served>>,
    /// Available workers, as they come and go.
    pub(crate) list: watch::Receiver<Rendezvous>,
    supervisor: SupervisorHandle,
}

impl Router {
    /// Starts workers and returns when they are ready.
    pub(crate) async fn start(workers: NonZeroUsize) -> Result<Self, SupervisorError> {
        let list = watch::Sender::new(Rendezvous::new(workers));
        let workers: Vec<_> = (0..workers.get())
            .map(|worker| {
                let (name, actor) = (format!("worker-{worker}"), Worker { worker, list: list.clone() });
                SupervisedActor::new(name, move || actor.clone(), Served::new(), Fifo::bounded(CAPACITY))
            })
            .collect();
        let outboxes = workers.iter().map(SupervisedActor::outbox).collect();
        let served = workers.iter().map(SupervisedActor::state).collect();
        let children = workers.into_iter().map(Into::into).collect();
        let supervisor = SupervisorHandle::start(Options::default(), children).await?;
        Ok(Self { outboxes, served, list: list.subscribe(), supervisor })
    }

    /// Sends a client's request to its worker. Returns false if it was dropped.
    pub(crate) async fn route(&self, client: ClientId, policy: Policy) -> bool {
        let ranked = self.list.borrow().ranked(client);
        // A single worker is its own next.
        let (worker, next) = (&self.outboxes[ranked[0]], &self.outboxes[ranked[1 % ranked.len()]]);
        match policy {
            Policy::Drop => worker.send_or_drop(client).unwrap_or(false),
            Policy::Block => worker.send(client).await.is_ok(),
            Policy::Reroute => worker.send_or(client, next).is_ok(),
        }
    }

    /// Stops the workers once they have served all requests sent before, and returns the numbers they have served.
    pub(crate) async fn shutdown(self) -> Served {
        self.supervisor.shutdown().await;
        self.served.iter().filter_map(StateSlot::try_lease).flat_map(|served| served.clone()).collect()
    }
}
