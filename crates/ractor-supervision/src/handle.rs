use std::sync::Arc;
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, Message, RpcReplyPort, SpawnErr};
use ractor_outbox::{Batch, Outbox, Parcel};
use tokio::sync::broadcast;

use crate::actor::{Options, Supervisor};
use crate::children::ChildStatus;
use crate::message::{Event, SupervisorMessage};
use crate::spec::ChildSpec;

/// Handle on a supervisor. Clones speak to the same supervisor.
///
/// Dropping handles does not stop the supervisor: [`shutdown`](Self::shutdown) does.
#[derive(Clone, Debug)]
pub struct SupervisorHandle {
    actor: ActorRef<SupervisorMessage>,
    supervisor: Supervisor,
}

/// Error of a [`SupervisorHandle`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The supervisor did not start, for instance because one of its first children did not.
    #[error("supervisor did not start")]
    Start(#[source] SpawnErr),
    /// The child did not start, or its name is taken. It is not among the children.
    #[error("child {id} did not start")]
    StartChild {
        /// Name of the child.
        id: Arc<str>,
        /// Error of the start.
        #[source]
        source: ActorProcessingErr,
    },
    /// The supervisor has stopped or given up.
    #[error("supervisor has stopped or given up")]
    Stopped,
}

impl SupervisorHandle {
    /// Starts a supervisor and its first children, in order.
    ///
    /// # Errors
    /// [`SupervisorError::Start`] if a child does not start; those before it are stopped again.
    pub async fn start(options: Options, children: Vec<ChildSpec>) -> Result<Self, SupervisorError> {
        let supervisor = Supervisor::default();
        let spawned = Actor::spawn(None, supervisor.clone(), (options, children)).await;
        let (actor, _task) = spawned.map_err(SupervisorError::Start)?;
        Ok(Self { actor, supervisor })
    }

    /// Starts a supervisor and its first children under another supervisor, for which giving up is a failure like any
    /// other.
    ///
    /// # Errors
    /// [`SupervisorError::Start`] if a child does not start; those before it are stopped again.
    pub async fn start_linked(
        options: Options,
        children: Vec<ChildSpec>,
        parent: ActorCell,
    ) -> Result<Self, SupervisorError> {
        let supervisor = Supervisor::default();
        let spawned = Actor::spawn_linked(None, supervisor.clone(), (options, children), parent).await;
        let (actor, _task) = spawned.map_err(SupervisorError::Start)?;
        Ok(Self { actor, supervisor })
    }

    /// Starts one more child, after the others.
    ///
    /// # Errors
    /// [`SupervisorError::StartChild`], [`SupervisorError::Stopped`].
    pub async fn start_child(&self, spec: ChildSpec) -> Result<(), SupervisorError> {
        let id = Arc::clone(&spec.id);
        let started = self.call(|reply| SupervisorMessage::StartChild(spec, reply)).await?;
        started.map_err(|source| SupervisorError::StartChild { id, source })
    }

    /// Stops a child in order and forgets it. Returns false if there is none of this name.
    ///
    /// # Errors
    /// [`SupervisorError::Stopped`].
    pub async fn remove_child(&self, id: impl Into<Arc<str>>) -> Result<bool, SupervisorError> {
        let id = id.into();
        self.call(|reply| SupervisorMessage::RemoveChild(id, reply)).await
    }

    /// Returns the status of all children, in order of start.
    ///
    /// # Errors
    /// [`SupervisorError::Stopped`].
    pub async fn children(&self) -> Result<Vec<ChildStatus>, SupervisorError> {
        self.call(SupervisorMessage::GetChildren).await
    }

    /// Returns the events of all children from now on. A subscriber that falls far behind is told how many it has
    /// missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.supervisor.subscribe()
    }

    /// Stops all children, the last started first, then the supervisor, and waits until all have stopped.
    pub async fn shutdown(&self) {
        self.actor.stop(None);
        let _ = self.actor.wait(None).await;
    }

    /// Closes a child's outboxes and asks the child a question behind everything that they have accepted. An answer
    /// means that all of it has been applied, by restarted incarnations too. Returns `None` if there is no answer
    /// before the deadline, or before the supervisor has stopped or given up.
    pub async fn drain<B: Batch, M: Message + From<Parcel<B>>, T: Send + 'static>(
        &self,
        outbox: &Outbox<B, M>,
        deadline: Duration,
        question: impl Fn(RpcReplyPort<T>) -> M + Send + Sync,
    ) -> Option<T> {
        tokio::select! {
            biased;
            answer = outbox.drain(question) => answer.ok(),
            _ = self.actor.wait(Some(deadline)) => None,
        }
    }

    /// Returns the actor itself, to link or monitor.
    #[must_use]
    pub const fn actor(&self) -> &ActorRef<SupervisorMessage> {
        &self.actor
    }

    async fn call<T: Send + 'static>(
        &self,
        question: impl FnOnce(RpcReplyPort<T>) -> SupervisorMessage,
    ) -> Result<T, SupervisorError> {
        match self.actor.call(question, None).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::SenderError | CallResult::Timeout) | Err(_) => Err(SupervisorError::Stopped),
        }
    }
}
