use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, ActorProcessingErr};

use crate::Restart;

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, ActorProcessingErr>> + Send>>;

/// How to start a child, and what to do when it ends.
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) start_deadline: Duration,
    pub(crate) stop_deadline: Duration,
    start: Box<dyn Fn(ActorCell) -> Starting + Send + Sync>,
}

impl ChildSpec {
    /// A permanent child with a unique name. `start` gets the supervisor and returns the new actor, which it has
    /// spawned linked to the supervisor. It is called again for each restart, so this is also the place to redirect
    /// whatever should follow the child to its new incarnation.
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
            start: Box::new(move |supervisor| Box::pin(start(supervisor))),
        }
    }

    /// When to restart it (default: always).
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long one start may take before it counts as failed (default: 30 seconds). The supervisor waits meanwhile.
    #[must_use]
    pub const fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// How long it may finish its mailbox in a shutdown before it is killed (default: 5 seconds).
    #[must_use]
    pub const fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }

    pub(crate) async fn start(&self, supervisor: ActorCell) -> Result<ActorCell, ActorProcessingErr> {
        match tokio::time::timeout(self.start_deadline, (self.start)(supervisor)).await {
            Ok(started) => started,
            Err(_) => Err(format!("it had not started after {:?}", self.start_deadline).into()),
        }
    }

    /// Lets it finish its mailbox until the deadline, then kills it. Returns when it is gone.
    pub(crate) async fn stop(&self, child: &ActorCell) {
        // An error means that it has stopped or is about to.
        let _ = child.drain();
        if child.wait(Some(self.stop_deadline)).await.is_err() {
            tracing::warn!(child = %self.id, deadline = ?self.stop_deadline, "killed: it did not stop in time");
            child.kill();
            let _ = child.wait(None).await;
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}
