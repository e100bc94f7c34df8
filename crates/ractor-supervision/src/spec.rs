use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, ActorProcessingErr};
use tokio::time::timeout;
use tracing::{Instrument, error, error_span, warn};

use crate::restart::Restart;

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, ActorProcessingErr>> + Send>>;

/// Specification of a child: its start, and the actions when it ends.
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) start_deadline: Duration,
    pub(crate) stop_deadline: Duration,
    start: Box<dyn Fn(ActorCell) -> Starting + Send + Sync>,
    on_retire: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl ChildSpec {
    /// Creates a permanent child with a unique name. `start` gets the actor that is to be the parent, and returns the
    /// new actor, which it has spawned linked to that parent. It is called again for each restart, so it is also the
    /// place to redirect outboxes to the new incarnation.
    ///
    /// The parent is the supervisor, or an actor that stands in for it until the start is over. If the start fails or
    /// is cancelled, all actors that are linked to the parent by then are stopped.
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
            on_retire: Vec::new(),
        }
    }

    /// Sets when to restart it (default: always).
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets the maximum duration of one start, after which it counts as failed (default: 30 seconds). Meanwhile, only
    /// children that are started after it wait: with [`RestForOne`](crate::Strategy::RestForOne), and when a
    /// supervisor starts.
    #[must_use]
    pub const fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// Sets the time that it has to finish its mailbox before it is killed (default: 5 seconds). If it blocks its
    /// thread and does not end for as long again, the supervisor stops waiting for it. Its state is not returned
    /// before it ends.
    #[must_use]
    pub const fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }

    /// Adds a function to run once the child will not be started again. It runs before the child
    /// is stopped for good, because it is removed or the supervisor shuts down or gives up, and when a temporary
    /// child has ended. At a shutdown it runs for all children before the first is stopped. It is the place to refuse
    /// messages that nobody would handle.
    ///
    /// It may run more than once.
    #[must_use]
    pub fn on_retire(mut self, retire: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_retire.push(Box::new(retire));
        self
    }

    pub(crate) fn retire(&self) {
        self.on_retire.iter().for_each(|retire| retire());
    }

    pub(crate) async fn start(&self, parent: ActorCell) -> Result<ActorCell, ActorProcessingErr> {
        // Logs on the way carry the child's name.
        let start = (self.start)(parent).instrument(error_span!("start", child = %self.id));
        match timeout(self.start_deadline, start).await {
            Ok(started) => started,
            Err(_) => Err(format!("it had not started after {:?}", self.start_deadline).into()),
        }
    }

    /// Lets it finish its mailbox until the deadline, then kills it. Returns when it has ended, or does not end in
    /// time.
    pub(crate) async fn stop(&self, child: &ActorCell) -> Result<(), Stuck> {
        // An error means that it has stopped or is about to.
        let _ = child.drain();
        if child.wait(Some(self.stop_deadline)).await.is_ok() {
            return Ok(());
        }
        warn!(child = %self.id, deadline = ?self.stop_deadline, "killed: it did not stop in time");
        self.kill(child).await
    }

    /// Cancels a start in the same way: its actors may finish the messages they have been sent.
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

/// Error of a child that does not end, whatever is done.
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
