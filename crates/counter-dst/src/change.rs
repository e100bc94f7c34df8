//! Operations on counters of a node that is alone, in sessions that outlive its crashes or outside of them.

use std::time::Duration;

use counter_cluster::{AcknowledgeError, NodeHandle};
use counter_keyspace::{Applied, Operation, SessionError, SessionId};
use tokio::time::{sleep, timeout};

use crate::client::durability;
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
        if is_in_session && !self.open(world, client) {
            return;
        }
        self.sequence += u64::from(is_in_session);
        {
            let mut state = world.lock();
            if state.nodes[0].serving.is_none() && !is_in_session {
                return;
            }
            let history = state.oracle.histories.entry(counter(name)).or_default();
            history.begins(number as u64, change, is_in_session);
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

    /// Sends the operation to the node, if that is there. Returns true if it is answered, and not to be sent again.
    async fn attempt(&mut self, world: &World, client: usize, attempted: Attempted) -> bool {
        let (life, handle) = {
            let state = world.lock();
            let node = &state.nodes[0];
            let Some((handle, _)) = node.serving.as_ref().filter(|_| node.is_alive) else { return false };
            (Life { node: 0, number: node.lives }, handle.clone())
        };
        let answered = tokio::select! {
            biased;
            () = world.ended(life) => return false,
            answered = timeout(PATIENCE, self.send(&handle, attempted)) => answered,
        };
        if !world.lock().lives(life) {
            return false;
        }
        let Attempted { number, name, level, .. } = attempted;
        match answered {
            Ok(Ok(Applied { outcomes, .. })) => {
                world.note(format_args!("k{client} #{number} {outcomes:?}"));
                let kept = {
                    let mut state = world.lock();
                    let history = state.oracle.histories.entry(counter(name)).or_default();
                    history.ends(number as u64, outcomes[0], level >= Level::Fsync)
                };
                world.check(kept.map_err(|violation| format!("{}: {violation}", counter(name))));
                true
            }
            Ok(Err(AcknowledgeError::Session(SessionError::Keyspace(_)))) | Err(_) => false,
            Ok(Err(AcknowledgeError::Session(error))) => {
                self.session = None;
                let has_new_disk = world.lock().oracle.has_lost_disks();
                world.check(
                    has_new_disk.then_some(()).ok_or_else(|| format!("a session is refused: {error}")),
                );
                true
            }
            Ok(Err(_)) => false,
        }
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
