use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, ActorProcessingErr};
use tokio::time::timeout;
use tracing::{Instrument, error, error_span, warn};

use crate::Restart;

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, ActorProcessingErr>> + Send>>;

/// How to start a child, and what to do when it ends.
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) start_deadline: Duration,
    pub(crate) stop_deadline: Duration,
    start: Box<dyn Fn(ActorCell) -> Starting + Send + Sync>,
    retire: Box<dyn Fn() + Send + Sync>,
}

impl ChildSpec {
    /// A permanent child with a unique name. `start` gets the actor that is to be the parent, and returns the new actor,
    /// which it has spawned linked to that parent. It is called again for each restart, so this is also the place to
    /// redirect whatever should follow the child to its new incarnation.
    ///
    /// The parent is the supervisor, or an actor that stands in for it until the start is over. If the start fails or
    /// is cancelled, all that is linked to the parent by then is stopped.
    pub fn new<F, Fut>(id: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(ActorCell) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ActorCell, ActorProcessingErr>> + Send + 'static,
    {
        Self {
            id: id.into(),
            restart: Restart::Permanent,
            start_deadline: Duration::from_secs(30),
            stop_deadline: Duration::from_secs(5),
            start: Box::new(move |parent| Box::pin(start(parent))),
            retire: Box::new(|| ()),
        }
    }

    /// When to restart it (default: always).
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets the time that one start may take before it counts as failed (default: 30 seconds). Only what is started after it
    /// waits meanwhile: with [`RestForOne`](crate::Strategy::RestForOne), and when a supervisor starts.
    #[must_use]
    pub const fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// Sets the time that it has to finish its mailbox before it is killed (default: 5 seconds). If it does not end for
    /// as long again, because it blocks its thread, it is given up on: its state is not returned before it ends.
    #[must_use]
    pub const fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }

    /// Runs `retire` once the child will not be started again: before it is stopped for good, because it is removed or the
    /// supervisor shuts down or gives up, or when it has ended and is temporary (default: nothing). At a shutdown all
    /// children are told before the first is stopped. This is the place to refuse what nobody would handle.
    ///
    /// It may be called more than once.
    #[must_use]
    pub fn on_retire(mut self, retire: impl Fn() + Send + Sync + 'static) -> Self {
        self.retire = Box::new(retire);
        self
    }

    pub(crate) fn retire(&self) {
        (self.retire)();
    }

    pub(crate) async fn start(&self, parent: ActorCell) -> Result<ActorCell, ActorProcessingErr> {
        // By name, for what is logged on the way.
        let start = (self.start)(parent).instrument(error_span!("start", child = %self.id));
        match timeout(self.start_deadline, start).await {
            Ok(started) => started,
            Err(_) => Err(format!("it had not started after {:?}", self.start_deadline).into()),
        }
    }

    /// Lets it finish its mailbox until the deadline, then kills it. Returns when it is gone, or is given up on.
    pub(crate) async fn stop(&self, child: &ActorCell) -> Result<(), Stuck> {
        // An error means that it has stopped or is about to.
        let _ = child.drain();
        if child.wait(Some(self.stop_deadline)).await.is_ok() {
            return Ok(());
        }
        warn!(child = %self.id, deadline = ?self.stop_deadline, "killed: it did not stop in time");
        self.kill(child).await
    }

    /// The same for a start: its actors may finish what has been sent to them.
    pub(crate) async fn cancel(&self, starter: &ActorCell) -> Result<(), Stuck> {
        let mut stopped = Ok(());
        for child in starter.get_children() {
            stopped = stopped.and(self.stop(&child).await);
        }
        stopped.and(self.kill(starter).await)
    }

    async fn kill(&self, actor: &ActorCell) -> Result<(), Stuck> {
        actor.kill();
        actor.wait(Some(self.stop_deadline)).await.map_err(|_| {
            error!(child = %self.id, "given up on: it was killed and does not end, so it blocks its thread");
            Stuck(self.stop_deadline)
        })
    }
}

/// A child does not end, whatever is done.
#[derive(Debug, thiserror::Error)]
#[error("it did not end within {0:?} of being killed")]
pub(crate) struct Stuck(Duration);

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}
