//! Clients, which count on nodes and check what they read.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use counter_cluster::{AcknowledgeError, Durability, NodeHandle, ReplicaId, Total};
use counter_keyspace::{Applied, KeyspaceError, Operation as Change, Outcome, SessionError, SessionId};
use counter_protocol::CounterName;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::change::{Attempted, Changes};
use crate::coverage::Kind;
use crate::oracle::Tally;
use crate::schedule::{Level, Operation, OperationKind, counter};
use crate::world::{Life, World};

/// Maximum number of times that a client sends a request of a session.
const ATTEMPTS: u32 = 8;

/// Wait before a request is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(30);

/// Deadline of a question to all nodes.
const REFRESH_WITHIN: Duration = Duration::from_millis(400);

/// A client. It does one thing at a time.
pub(crate) struct Client {
    world: World,
    number: usize,
    access: BTreeMap<usize, Access>,
    changes: Changes,
}

/// A client's handle of one life of a node, and its session there.
struct Access {
    life: Life,
    replica: ReplicaId,
    handle: NodeHandle,
    session: Option<SessionId>,
    sequence: u64,
    /// Latest request of the session, or of the one in the node's life before.
    latest: Option<(SessionId, u64, Request)>,
}

/// Request of a session.
#[derive(Clone)]
struct Request {
    names: Vec<CounterName>,
    amount: i64,
    level: Level,
    /// Number of answers that do not arrive.
    lost_answers: u32,
}

impl Client {
    pub(crate) fn new(world: World, number: usize) -> Self {
        Self { world, number, access: BTreeMap::new(), changes: Changes::default() }
    }

    /// Carries out these operations, each at its time in milliseconds or later.
    pub(crate) async fn run(mut self, begun: Instant, operations: Vec<(usize, u64, Operation)>) {
        for (number, at_ms, operation) in operations {
            sleep_until(begun + Duration::from_millis(at_ms)).await;
            let client = self.number;
            if let OperationKind::Change { name, change, is_in_session } = operation.kind {
                let change = Attempted { number, name, change, is_in_session, level: operation.level };
                self.changes.carry_out(&self.world, client, change).await;
                continue;
            }
            let Some(mut access) = self.access(operation.node) else {
                self.world.note(format_args!("k{client} #{number} finds n{} down", operation.node));
                continue;
            };
            self.world.note(format_args!("k{client} #{number} n{} {:?}", operation.node, operation.kind));
            let (world, life) = (self.world.clone(), access.life);
            let patience = Duration::from_millis(operation.patience_ms);
            let done = tokio::select! {
                biased;
                () = world.ended(life) => "its node is over",
                done = timeout(patience, self.perform_thawed(&mut access, &operation)) => match done {
                    Ok(done) => done,
                    Err(_) => {
                        self.world.lock().coverage.fired(Kind::CallCancelled);
                        "given up"
                    }
                },
            };
            self.access.insert(operation.node, access);
            self.world.note(format_args!("k{client} #{number} {done}"));
        }
    }

    /// Takes the client's handle of a node, if that is there. Its outboxes stay the same for as long as the node lives.
    fn access(&mut self, node: usize) -> Option<Access> {
        let state = self.world.lock();
        let (handle, replica) = state.nodes[node].serving.as_ref().filter(|_| state.nodes[node].is_alive)?;
        let life = Life { node, number: state.nodes[node].lives };
        let latest = match self.access.remove(&node) {
            Some(access) if access.life == life => return Some(access),
            earlier => earlier.and_then(|access| access.latest),
        };
        let (replica, handle) = (replica.clone(), handle.clone());
        Some(Access { life, replica, handle, session: None, sequence: 0, latest })
    }

    /// Carries out an operation. What a client asks of a frozen node waits, and so does the answer.
    async fn perform_thawed(&self, access: &mut Access, operation: &Operation) -> &'static str {
        let node = operation.node;
        self.world.thawed(node).await;
        let done = self.perform(access, operation.kind.clone(), operation.level).await;
        self.world.thawed(node).await;
        done
    }

    async fn perform(&self, access: &mut Access, kind: OperationKind, level: Level) -> &'static str {
        match kind {
            OperationKind::Increment { name, amount, hangs_up } => {
                let done = self.increment(access, counter(name), amount, level).await;
                if hangs_up {
                    self.hang_up(access);
                }
                done
            }
            OperationKind::Add { name, amount } => self.add(access, counter(name), amount, level).await,
            OperationKind::Session { names, amount, lost_answers } => {
                let names = names.into_iter().map(counter).collect();
                let request = Request { names, amount, level, lost_answers };
                self.request(access, request).await
            }
            // Carried out elsewhere.
            OperationKind::Change { .. } => "done",
            OperationKind::Read { name } => self.read(access, counter(name)).await,
            OperationKind::Refresh { name } => {
                let refreshed = access.handle.refresh(Some(counter(name).as_bytes()), REFRESH_WITHIN).await;
                self.world.note(format_args!("k{} refreshed {refreshed:?}", self.number));
                self.read(access, counter(name)).await
            }
        }
    }

    async fn increment(&self, access: &Access, name: CounterName, amount: i64, level: Level) -> &'static str {
        let tally = Tally { value: amount.into(), operations: 1 };
        self.world.lock().oracle.begun(&access.replica, &name, tally);
        let done = access.handle.increment_at(name.as_bytes(), amount, durability(level)).await;
        // What is acknowledged in memory is still on its way to its shard.
        self.note(access, &name, (level > Level::Memory).then_some(level), tally, &done);
        said(&done)
    }

    /// Goes on with another handle. What the one before has accepted is applied nevertheless, at any time.
    fn hang_up(&self, access: &mut Access) {
        let mut state = self.world.lock();
        state.oracle.hung_up(&access.replica, self.number);
        state.coverage.fired(Kind::HungUp);
        drop(state);
        access.handle = access.handle.clone();
    }

    async fn add(&self, access: &Access, name: CounterName, amount: i64, level: Level) -> &'static str {
        let tally = Tally { value: amount.into(), operations: 1 };
        self.world.lock().oracle.begun(&access.replica, &name, tally);
        let done = access.handle.add_and_get(name.as_bytes(), amount, durability(level)).await;
        self.note(access, &name, Some(level), tally, &done);
        said(&done)
    }

    /// Sends a request of a session until it is answered.
    async fn request(&self, access: &mut Access, mut request: Request) -> &'static str {
        self.repeat(access).await;
        let Some(session) = self.session(access) else { return "no session" };
        access.sequence += 1;
        let sequence = access.sequence;
        access.latest = Some((session, sequence, request.clone()));
        let tally = Tally { value: request.amount.into(), operations: 1 };
        for name in &request.names {
            self.world.lock().oracle.begun(&access.replica, name, tally);
        }
        let mut first: Option<Vec<Outcome>> = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(access, session, sequence, &request).await {
                Ok(applied) => {
                    let outcomes = applied.outcomes.clone();
                    let earlier = first.get_or_insert_with(|| outcomes.clone());
                    let is_repeated = (*earlier == outcomes).then_some(());
                    self.world.check(
                        is_repeated.ok_or_else(|| format!("outcomes are {earlier:?} and {outcomes:?}")),
                    );
                    if request.lost_answers == 0 {
                        for name in &request.names {
                            self.note(access, name, Some(request.level), tally, &Ok(()));
                        }
                        return "done";
                    }
                    request.lost_answers -= 1;
                    self.world.lock().coverage.fired(Kind::AnswerLost);
                }
                Err(AcknowledgeError::Keyspace(KeyspaceError::Stopped)) => return "unknown",
                Err(AcknowledgeError::Session(error)) if !matches!(error, SessionError::Keyspace(_)) => {
                    self.world.check(Err(format!("a session is refused: {error}")));
                    return "refused";
                }
                Err(_) => {}
            }
            sleep(RETRY_AFTER).await;
        }
        "unknown"
    }

    /// Repeats the latest request of the node's life before, if there is one. That session is over.
    async fn repeat(&self, access: &mut Access) {
        let of_earlier =
            |(session, ..): &mut (SessionId, _, _)| session.incarnation != access.replica.incarnation;
        let Some((session, sequence, request)) = access.latest.take_if(of_earlier) else { return };
        let answer = self.attempt(access, session, sequence, &request).await;
        let kept = match answer {
            Err(AcknowledgeError::Session(SessionError::Expired)) => {
                self.world.lock().coverage.fired(Kind::RepeatedLater);
                Ok(())
            }
            Err(AcknowledgeError::Session(SessionError::Keyspace(_))) => Ok(()),
            Ok(_) | Err(AcknowledgeError::Session(_) | AcknowledgeError::OtherNode { .. }) => {
                Err(format!("a request of a session that is over is answered with {answer:?}"))
            }
            Err(_) => Ok(()),
        };
        self.world.check(kept);
    }

    async fn attempt(
        &self,
        access: &Access,
        session: SessionId,
        sequence: u64,
        Request { names, amount, level, .. }: &Request,
    ) -> Result<Applied, AcknowledgeError> {
        let changes = names.iter().map(|name| (name.as_bytes(), Change::Add(*amount)));
        access.handle.apply_in_session(session, sequence, changes, durability(*level)).await
    }

    /// Tells the oracle what has come of an operation. At no level, it is accepted only.
    fn note<T>(
        &self,
        access: &Access,
        name: &CounterName,
        level: Option<Level>,
        tally: Tally,
        done: &Result<T, AcknowledgeError>,
    ) {
        if !self.is_on(access) {
            return;
        }
        let kept = {
            let mut state = self.world.lock();
            let oracle = &mut state.oracle;
            match (done, level) {
                (Ok(_), Some(level)) => oracle.applied(&access.replica, name, level, tally),
                (Ok(_), None) => {
                    oracle.accepted(&access.replica, name, self.number, tally);
                    Ok(())
                }
                (Err(AcknowledgeError::TooFewPeers { .. }), _) => {
                    oracle.refused(&access.replica, name, tally);
                    Ok(())
                }
                (Err(_), _) => Ok(()),
            }
        };
        self.world.check(kept);
    }

    /// Returns the client's session with a life of a node, which is opened if there is none yet.
    fn session(&self, access: &mut Access) -> Option<SessionId> {
        if access.session.is_none() {
            let opened = access.handle.open_session(&format!("k{}", self.number));
            access.session = match opened {
                Ok(session) => Some(session),
                // Without a store nobody issues sessions. Nobody else has one of that number.
                Err(AcknowledgeError::NoStore) => {
                    let number = self.number as u64;
                    Some(SessionId { incarnation: access.replica.incarnation, number })
                }
                Err(_) => None,
            };
        }
        access.session
    }

    async fn read(&self, access: &Access, name: CounterName) -> &'static str {
        let asked = self.world.lock().oracle.asked(&access.replica, &name, self.number);
        let reading = access.handle.value(name.as_bytes()).await;
        if let Ok(reading) = &reading
            && self.is_on(access)
        {
            let Total { value, operations } = reading.total;
            self.world.note(format_args!("k{} {name}={value}/{operations}", self.number));
            let kept = self.world.lock().oracle.read(&asked, self.number, reading.total);
            self.world.check(kept);
        }
        said(&reading)
    }

    /// Returns true if the node still lives this life: what it says is in force.
    fn is_on(&self, access: &Access) -> bool {
        self.world.lock().lives(access.life)
    }
}

const fn said<T, E>(outcome: &Result<T, E>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(_) => "failed",
    }
}

pub(crate) const fn durability(level: Level) -> Durability {
    match level {
        Level::Memory => Durability::Memory,
        Level::Fsync => Durability::Fsync,
        Level::Replicated => Durability::Replicated(NonZeroUsize::MIN),
    }
}
