//! Operations on counters of a node that is alone, in sessions that outlive its crashes or outside of them.

use std::time::Duration;

use counter_cluster::{AcknowledgeError, NodeHandle};
use counter_keyspace::{Applied, Operation, Outcome, SessionError, SessionId};
use tokio::time::{sleep, timeout};

use crate::client::durability;
use crate::coverage::Kind;
use crate::schedule::{Level, counter};
use crate::world::{Life, World};

/// Maximum number of times that a request of a session is sent.
const ATTEMPTS: u32 = 100;

/// Wait before a request is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Time after which a request is sent again.
const PATIENCE: Duration = Duration::from_millis(500);

/// A client's session.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    session: Option<SessionId>,
    sequence: u64,
    /// The session's latest request, if it has an outcome that is durable.
    answered: Option<Answered>,
}

/// Request with an outcome, and the life of the node that had it.
#[derive(Debug)]
struct Answered {
    request: Attempted,
    outcomes: Vec<Outcome>,
    life: Life,
}

/// Operation to carry out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempted {
    pub(crate) number: usize,
    pub(crate) name: usize,
    pub(crate) change: Operation,
    pub(crate) is_in_session: bool,
    pub(crate) level: Level,
}

impl Changes {
    /// Carries out an operation: once, or as a request of the session until it is answered.
    pub(crate) async fn carry_out(&mut self, world: &World, client: usize, attempted: Attempted) {
        let Attempted { number, name, change, is_in_session, .. } = attempted;
        world.note(format_args!("k{client} #{number} {attempted:?}"));
        self.repeat(world, client).await;
        if is_in_session {
            if !self.open(world, client) {
                return;
            }
            self.sequence += 1;
            self.answered = None;
        }
        {
            let mut state = world.lock();
            if state.nodes[0].serving.is_none() && !is_in_session {
                return;
            }
            let (now_ms, _) = state.clock_of(0);
            let history = state.oracle.histories.entry(counter(name)).or_default();
            history.begins(number as u64, change, is_in_session, now_ms);
        }
        for _ in 0..if is_in_session { ATTEMPTS } else { 1 } {
            if self.attempt(world, client, attempted).await {
                return;
            }
            sleep(RETRY_AFTER).await;
        }
        world.note(format_args!("k{client} #{number} unknown"));
    }

    /// Opens a session, if there is none and the node is there.
    fn open(&mut self, world: &World, client: usize) -> bool {
        if self.session.is_none() {
            let handle = world.lock().nodes[0].serving.as_ref().map(|(handle, _)| handle.clone());
            self.session = handle.and_then(|handle| handle.open_session(&format!("k{client}")).ok());
        }
        self.session.is_some()
    }

    /// Repeats the latest request behind a restart of the node: its outcome is still the same.
    async fn repeat(&mut self, world: &World, client: usize) {
        let is_later = |answered: &&Answered| {
            let state = world.lock();
            state.nodes[0].lives > answered.life.number && !state.oracle.has_lost_disks()
        };
        let Some(Answered { request, outcomes, .. }) = self.answered.as_ref().filter(is_later) else {
            return;
        };
        let Some((life, answer)) = self.ask(world, *request).await else { return };
        let number = request.number;
        world.note(format_args!("k{client} #{number} again: {answer:?}"));
        let kept = match answer {
            Ok(again) if again.outcomes == *outcomes => {
                world.lock().coverage.fired(Kind::RepeatedLater);
                Ok(())
            }
            Ok(Applied { outcomes: again, .. }) => {
                Err(format!("outcomes are {outcomes:?}, and {again:?} behind a restart"))
            }
            Err(AcknowledgeError::Session(error)) if !matches!(error, SessionError::Keyspace(_)) => {
                Err(format!("a request with an outcome is refused behind a restart: {error}"))
            }
            Err(_) => return,
        };
        world.check(kept);
        self.answered.iter_mut().for_each(|answered| answered.life = life);
    }

    /// Sends the operation to the node, if that is there. Returns true if it is answered, and not to be sent again.
    async fn attempt(&mut self, world: &World, client: usize, attempted: Attempted) -> bool {
        let Some((life, answer)) = self.ask(world, attempted).await else { return false };
        let Attempted { number, name, level, is_in_session, .. } = attempted;
        match answer {
            Ok(Applied { outcomes, .. }) => {
                world.note(format_args!("k{client} #{number} {outcomes:?}"));
                let kept = {
                    let mut state = world.lock();
                    state.tell_time();
                    let history = state.oracle.histories.entry(counter(name)).or_default();
                    history.ends(number as u64, outcomes[0], level >= Level::Fsync)
                };
                world.check(kept.map_err(|violation| format!("{}: {violation}", counter(name))));
                if is_in_session && level >= Level::Fsync {
                    self.answered = Some(Answered { request: attempted, outcomes, life });
                }
                true
            }
            Err(AcknowledgeError::Session(error)) if !matches!(error, SessionError::Keyspace(_)) => {
                self.session = None;
                let has_new_disk = world.lock().oracle.has_lost_disks();
                world.check(
                    has_new_disk.then_some(()).ok_or_else(|| format!("a session is refused: {error}")),
                );
                true
            }
            Err(_) => false,
        }
    }

    /// Sends the operation to the node, and returns its answer and its life, or `None` if it is not there, or ends
    /// meanwhile, or does not answer.
    async fn ask(
        &self,
        world: &World,
        attempted: Attempted,
    ) -> Option<(Life, Result<Applied, AcknowledgeError>)> {
        let (life, handle) = {
            let state = world.lock();
            let node = &state.nodes[0];
            let (handle, _) = node.serving.as_ref().filter(|_| node.is_alive)?;
            (Life { node: 0, number: node.lives }, handle.clone())
        };
        let answered = tokio::select! {
            biased;
            () = world.ended(life) => None,
            answered = timeout(PATIENCE, async {
                world.thawed(life.node).await;
                let answer = self.send(&handle, attempted).await;
                world.thawed(life.node).await;
                answer
            }) => answered.ok(),
        };
        answered.filter(|_| world.lock().lives(life)).map(|answer| (life, answer))
    }

    async fn send(&self, handle: &NodeHandle, attempted: Attempted) -> Result<Applied, AcknowledgeError> {
        let Attempted { name, change, is_in_session, level, .. } = attempted;
        let (operations, level) = ([(counter(name).as_bytes().to_vec(), change)], durability(level));
        match self.session.filter(|_| is_in_session) {
            Some(session) => handle.apply_in_session(session, self.sequence, operations, level).await,
            None => handle.apply_at(operations, level).await,
        }
    }
}
