use std::sync::Arc;

use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, Message, SpawnErr, SupervisionEvent,
};

use crate::children::ExitReason;
use crate::message::SupervisorMessage;
use crate::spec::ChildSpec;

/// Starts one child beside the supervisor's mailbox, and is its parent until the supervisor takes it over. If this
/// actor ends before, everything that it has started ends with it, as ractor does with an actor's children.
///
/// A start that succeeds is reported by [`SupervisorMessage::Started`], a failed one by the end of this actor.
pub(crate) struct Starter {
    supervisor: ActorRef<SupervisorMessage>,
    spec: Arc<ChildSpec>,
}

/// Hands the child over to the supervisor, which knows of it by now.
pub(crate) struct TakeOver;

impl Message for TakeOver {}

impl Starter {
    pub(crate) async fn spawn(
        supervisor: &ActorRef<SupervisorMessage>,
        spec: Arc<ChildSpec>,
    ) -> Result<ActorCell, SpawnErr> {
        let starter = Self { supervisor: supervisor.clone(), spec };
        let (starter, _task) = Actor::spawn_linked(None, starter, (), supervisor.get_cell()).await?;
        Ok(starter.get_cell())
    }

    /// Returns true if an actor is a starter.
    pub(crate) fn is(actor: &ActorCell) -> bool {
        actor.is_message_type_of::<TakeOver>() == Some(true)
    }
}

impl Actor for Starter {
    type Msg = TakeOver;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<TakeOver>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_start(&self, myself: ActorRef<TakeOver>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let child = self.spec.start(myself.get_cell()).await?;
        // An error means that the supervisor stops, and with it this child.
        let _ = self.supervisor.cast(SupervisorMessage::Started { starter: myself.get_cell(), child });
        Ok(())
    }

    /// The end of an actor that is just being handed over may still be reported to this actor, and one that is about
    /// to end cannot be handed over. So this waits for their end. Their events are in the mailbox by then, before the
    /// drain.
    async fn handle(
        &self,
        myself: ActorRef<TakeOver>,
        TakeOver: TakeOver,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let (children, supervisor) = (myself.get_children(), self.supervisor.get_cell());
        for child in &children {
            child.link(supervisor.clone());
        }
        for child in children {
            let is_handed_over = child.try_get_supervisor().is_some_and(|parent| parent == supervisor);
            if !is_handed_over || child.get_status() >= ActorStatus::Stopping {
                child.wait(None).await?;
            }
        }
        myself.drain()?;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<TakeOver>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let (child, end) = match event {
            SupervisionEvent::ActorTerminated(child, lease, reason) => {
                drop(lease);
                (child, ExitReason::of_terminated(reason))
            }
            SupervisionEvent::ActorFailed(child, reason) => (child, ExitReason::Failed(reason.to_string())),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => return Ok(()),
        };
        // An error means that the supervisor stops.
        let _ = self.supervisor.cast(SupervisorMessage::Ended(child, end));
        Ok(())
    }
}
