use std::fmt;
use std::sync::Arc;

use ractor::{ActorCell, ActorProcessingErr, Message, RpcReplyPort};

use crate::children::{ChildStatus, ExitReason, Ticket};
use crate::spec::ChildSpec;

/// Event of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Name of the child.
    pub child: Arc<str>,
    /// Kind of the event.
    pub kind: ChildEvent,
}

/// Kind of an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildEvent {
    /// The child was started for the first time.
    Started,
    /// The child has ended, and not because the supervisor stopped it.
    Ended(ExitReason),
    /// The child did not start again.
    NotRestarted {
        /// Reason of the failure.
        reason: String,
    },
    /// The child was started again.
    Restarted {
        /// Number of restarts, failed attempts included.
        restarts: u64,
    },
    /// The supervisor has given up because of the child.
    GivenUp,
}

/// Message to a supervisor.
pub enum SupervisorMessage {
    /// Starts a child, after the others.
    StartChild(ChildSpec, RpcReplyPort<Result<(), ActorProcessingErr>>),
    /// Stops a child in order and forgets it. Replies false if there is none of this name.
    RemoveChild(Arc<str>, RpcReplyPort<bool>),
    /// Asks for all children, in order of start.
    GetChildren(RpcReplyPort<Vec<ChildStatus>>),
    /// A wait is over. Sent by the supervisor itself.
    Restart(Ticket),
    /// A child has started, and is still linked to its starter. Sent by the starter.
    Started {
        /// Parent of the child until now.
        starter: ActorCell,
        /// Actor of the child.
        child: ActorCell,
    },
    /// A child has ended while it was linked to its starter. Sent by the starter.
    Ended(ActorCell, ExitReason),
}

impl Message for SupervisorMessage {}

impl fmt::Debug for SupervisorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartChild(spec, _) => f.debug_tuple("StartChild").field(spec).finish_non_exhaustive(),
            Self::RemoveChild(id, _) => f.debug_tuple("RemoveChild").field(id).finish_non_exhaustive(),
            Self::GetChildren(_) => f.debug_tuple("GetChildren").finish_non_exhaustive(),
            Self::Restart(ticket) => f.debug_tuple("Restart").field(ticket).finish(),
            Self::Started { starter, child } => {
                f.debug_struct("Started").field("starter", starter).field("child", child).finish()
            }
            Self::Ended(child, end) => f.debug_tuple("Ended").field(child).field(end).finish(),
        }
    }
}
