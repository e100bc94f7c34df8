use std::fmt;
use std::panic::resume_unwind;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::yield_now;

use crate::fault::{Fault, Faults};

const ERROR: &str = "injected error";

/// Number of times that an actor yields with the rest of a message in its hands.
const YIELDS: usize = 20;

/// Handles this number of steps of a message and returns the rest of it, or the message if it has no parts.
pub type Part<A, R> = fn(<A as Actor>::Msg, usize, &mut <A as Actor>::State) -> Result<R, <A as Actor>::Msg>;

/// Actor that wraps another one, and crashes when a fault has been injected. It yields before and after each message,
/// so that a kill from outside can hit it there.
///
/// `R` is the rest of a message that it holds when it crashes within one.
pub struct Faulty<A: Actor, R = ()> {
    actor: A,
    faults: Faults,
    part: Part<A, R>,
}

impl<A: Actor> Faulty<A> {
    /// Wraps an actor whose messages have no parts. Faults within a message do not happen to it.
    #[must_use]
    pub fn new(actor: A, faults: &Faults) -> Self {
        Self::in_parts(actor, faults, |message, _, _| Err(message))
    }
}

impl<A: Actor, R> Faulty<A, R> {
    /// Wraps an actor that handles a part of a message by `part`.
    #[must_use]
    pub fn in_parts(actor: A, faults: &Faults, part: Part<A, R>) -> Self {
        Self { actor, faults: faults.clone(), part }
    }
}

impl<A: Actor + Clone, R> Clone for Faulty<A, R> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), faults: self.faults.clone(), part: self.part }
    }
}

impl<A: Actor, R> fmt::Debug for Faulty<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl<A: Actor, R: Send + 'static> Actor for Faulty<A, R> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        let state = self.actor.pre_start(myself, arguments).await?;
        self.faults.started();
        Ok(state)
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.post_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        mut message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        yield_now().await;
        let mut fault = self.faults.take(myself.get_id());
        if let Some(Fault::PanicWithin(steps) | Fault::KilledWithin(steps)) = fault {
            match (self.part)(message, steps, state) {
                Ok(rest) => return self.crash_within(fault, &myself, rest).await,
                Err(whole) => {
                    message = whole;
                    fault.take().into_iter().for_each(|fault| self.faults.put_back(fault));
                }
            }
        }
        if fault.is_some() {
            self.faults.happens();
        }
        match fault {
            Some(Fault::PanicBefore) => panic(),
            Some(Fault::ErrorBefore) => return Err(ERROR.into()),
            _ => self.actor.handle(myself, message, state).await?,
        }
        yield_now().await;
        match fault {
            Some(Fault::PanicAfter) => panic(),
            Some(Fault::ErrorAfter) => Err(ERROR.into()),
            _ => Ok(()),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.handle_supervisor_evt(myself, event, state).await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.post_stop(myself, state).await
    }
}

impl<A: Actor, R> Faulty<A, R> {
    async fn crash_within(
        &self,
        fault: Option<Fault>,
        myself: &ActorRef<A::Msg>,
        _rest: R,
    ) -> Result<(), ActorProcessingErr> {
        self.faults.happens();
        for _ in 0..YIELDS {
            yield_now().await;
        }
        if let Some(Fault::KilledWithin(_)) = fault {
            myself.kill();
            std::future::pending::<()>().await;
        }
        panic()
    }
}

/// Panics without a message on standard error.
fn panic() -> ! {
    resume_unwind(Box::new("injected panic"))
}
