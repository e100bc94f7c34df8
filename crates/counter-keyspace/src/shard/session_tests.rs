//! Requests of sessions take effect once: against a model, through recoveries from committed rounds, and on shards that
//! crash.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use proptest::prelude::*;
use ractor_faults::{Fault, Faults, seed};
use ractor_outbox::Batch;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::faults::{faulty, kill, options};
use super::*;
use crate::calls::{Applied, Call, CallReply, KEPT_OUTCOMES, Operations};
use crate::deltas::Change;
use crate::follower::{FeedOwner, Position};
use crate::handle::{KeyspaceHandle, SessionError};
use crate::keyspace::Keyspace;
use crate::operation::Operation;
use crate::partitioner::Partitioner;
use crate::recovery::ShardBuilder;
use crate::round::Outcome;
use crate::sessions::SessionRequest;

const CLIENTS: usize = 3;
const LANES: usize = 2;

fn partitioner() -> Partitioner {
    Partitioner::new([1, 2, 3, 4], NonZeroUsize::MIN)
}

const fn session(number: u64) -> SessionId {
    SessionId { incarnation: 7, number }
}

/// Client that sends one request after the other, the next once this one is committed.
#[derive(Default)]
struct Client {
    sequence: u64,
    names: Vec<u8>,
    answers: Vec<oneshot::Receiver<CallReply>>,
    /// Outcomes of the first answer, and the version that it came with.
    answered: Option<(Vec<Outcome>, u64)>,
    /// True if the answer is in a committed round.
    is_committed: bool,
}

/// Contents of a shard, as a store holds them.
#[derive(Default)]
struct Stored {
    counters: BTreeMap<u8, Count>,
    sessions: BTreeMap<SessionId, SessionRecord>,
}

/// A shard with its store and its clients.
struct World {
    state: ShardState,
    lanes: [Deltas; LANES],
    clients: [Client; CLIENTS],
    stored: Stored,
    feed: FeedOwner,
    round: u64,
    /// Operations of all requests that have been sent, each once.
    sent: BTreeMap<u8, i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Next(usize, Vec<u8>),
    Send(usize, usize),
    Apply(usize),
    /// Applies this number of operations, then crashes.
    Crash(usize, usize),
    Commit,
    /// Goes on from the last committed round.
    Recover,
}

fn step() -> impl Strategy<Value = Step> {
    let names = prop_oneof![
        9 => prop::collection::vec(0..4_u8, 1..6),
        1 => prop::collection::vec(0..4_u8, KEPT_OUTCOMES + 1..KEPT_OUTCOMES + 9),
    ];
    prop_oneof![
        4 => (0..CLIENTS, names).prop_map(|(client, names)| Step::Next(client, names)),
        5 => (0..CLIENTS, 0..LANES).prop_map(|(client, lane)| Step::Send(client, lane)),
        4 => (0..LANES).prop_map(Step::Apply),
        3 => (0..LANES, 0..9_usize).prop_map(|(lane, steps)| Step::Crash(lane, steps)),
        3 => Just(Step::Commit),
        1 => Just(Step::Recover),
    ]
}

fn lane() -> Deltas {
    Deltas::bounded(NonZeroUsize::MAX, usize::MAX)
}

impl World {
    fn new() -> Self {
        Self {
            state: ShardState::default(),
            lanes: [lane(), lane()],
            clients: Default::default(),
            stored: Stored::default(),
            feed: FeedOwner::default(),
            round: 1,
            sent: BTreeMap::new(),
        }
    }

    fn next(&mut self, client: usize, names: Vec<u8>) {
        let client = &mut self.clients[client];
        if client.sequence == 0 || client.is_committed {
            names.iter().for_each(|name| *self.sent.entry(*name).or_default() += 1);
            *client = Client { sequence: client.sequence + 1, names, ..Client::default() };
        }
    }

    fn send(&mut self, n: usize, lane: usize) {
        let client = &mut self.clients[n];
        if client.sequence == 0 {
            return;
        }
        let (partitioner, mut operations) = (partitioner(), Operations::default());
        for name in &client.names {
            operations.push(partitioner.key(&[*name]).unwrap(), Operation::Add(1));
        }
        let (reply, answer) = oneshot::channel();
        let request = SessionRequest { id: session(n as u64), sequence: client.sequence, fingerprint: 1 };
        self.lanes[lane].push(Change::Call(Call::new(operations, Some(request), reply))).unwrap();
        client.answers.push(answer);
    }

    /// Applies `steps` operations, and puts the rest back.
    fn apply(&mut self, lane: usize, steps: usize) {
        let empty = self.lanes[lane].empty();
        let mut batch = mem::replace(&mut self.lanes[lane], empty);
        self.state.version += 1;
        for _ in 0..steps {
            if !self.state.apply_one(&mut batch) {
                break;
            }
        }
        self.lanes[lane].put_back(batch);
        for client in &mut self.clients {
            let Client { answers, names, answered, is_committed, .. } = client;
            answers.retain_mut(|answer| {
                let Ok(CallReply { outcomes, version }) = answer.try_recv() else { return true };
                let outcomes = outcomes.expect("only the latest request of a session is sent");
                assert_eq!(outcomes.len(), names.len());
                match answered {
                    None => *answered = Some((outcomes, version)),
                    // What is committed stays as it was answered, even if the shard has crashed since.
                    Some((first, _)) if names.len() <= KEPT_OUTCOMES => assert_eq!(*first, outcomes),
                    Some(_) => assert!(*is_committed || outcomes.contains(&Outcome::Applied)),
                }
                false
            });
        }
    }

    fn commit(&mut self) {
        let position = Position { round: self.round, pages: 0, confirmed: self.round - 1 };
        let page = self.state.finish_round(&FeedPosition { feed: self.feed.id(), position }, usize::MAX);
        self.round += 1;
        let end = page.end.unwrap();
        if page.reset {
            self.stored = Stored::default();
        }
        self.stored.counters.extend(page.changed.iter().map(|entry| (entry.name[0], entry.count)));
        self.stored.sessions.extend(end.sessions);
        assert_eq!(self.stored.sessions.len() as u64, end.totals.sessions);
        for client in &mut self.clients {
            client.is_committed |=
                client.answered.as_ref().is_some_and(|(_, version)| *version <= end.version);
        }
    }

    fn recover(&mut self) {
        let mut builder = ShardBuilder::new(&partitioner(), 0);
        for (name, count) in &self.stored.counters {
            builder.insert(crate::round::Entry { name: &[*name], count: *count, deadline_ms: None }).unwrap();
        }
        for (id, record) in &self.stored.sessions {
            builder.session(*id, record.clone());
        }
        self.state = builder.build().state;
        (self.lanes, self.feed, self.round) = ([lane(), lane()], FeedOwner::default(), 1);
        for client in &mut self.clients {
            client.answers.clear();
            if !client.is_committed {
                client.answered = None;
            }
        }
    }
}

proptest! {
    #[test]
    fn each_request_takes_effect_once_through_retries_crashes_and_recoveries(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Next(client, names) => world.next(client, names),
                Step::Send(client, lane) => world.send(client, lane),
                Step::Apply(lane) => world.apply(lane, usize::MAX),
                Step::Crash(lane, steps) => world.apply(lane, steps),
                Step::Commit => world.commit(),
                Step::Recover => world.recover(),
            }
        }
        world.recover();
        for client in 0..CLIENTS {
            world.send(client, client % LANES);
        }
        (0..LANES).for_each(|lane| world.apply(lane, usize::MAX));
        prop_assert!(world.clients.iter().all(|client| client.sequence == 0 || client.answered.is_some()));
        world.commit();
        let counted: BTreeMap<_, _> = world.stored.counters.iter().map(|(name, count)| (*name, count.value)).collect();
        prop_assert_eq!(counted, world.sent);
    }
}

fn assert_value(applied: Result<Applied, SessionError>, value: i64) {
    assert_eq!(applied.map(|applied| applied.outcomes), Ok(vec![Outcome::Value(Some(value))]));
}

#[tokio::test(start_paused = true)]
async fn a_session_repeats_its_latest_request_and_refuses_others() {
    let keyspace = Keyspace::start(options()).await.unwrap();
    let handle = keyspace.handle();
    let apply = |number, sequence, amount| {
        handle.apply_in_session(session(number), sequence, [("a", Operation::Add(amount))])
    };
    assert_value(apply(5, 2, 1).await, 1);
    assert_value(apply(5, 2, 1).await, 1);
    assert_eq!(apply(5, 2, 3).await, Err(SessionError::OtherRequest));
    assert_eq!(apply(5, 1, 1).await, Err(SessionError::Superseded));
    assert_value(apply(5, 3, 1).await, 2);
    assert_value(apply(6, 1, 1).await, 3);
    handle.set_session_floor(session(6)).await.unwrap();
    assert_eq!(apply(5, 3, 1).await, Err(SessionError::Expired));
    handle.set_session_floor(session(1)).await.unwrap();
    assert_eq!(apply(5, 4, 1).await, Err(SessionError::Expired), "the floor never sinks");
    assert_value(apply(6, 1, 1).await, 3);
    assert_eq!(handle.value("a").await.unwrap(), Some(3));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_reached_only_some_shards_is_completed_by_a_retry() {
    let keyspace = Keyspace::start(options()).await.unwrap();
    let handle = keyspace.handle();
    let requests: Vec<_> = (0..20).map(|n| (n.to_string(), Operation::Add(1))).collect();
    // The outbox of the last shard is full, so the first attempt is dropped while it waits there.
    let on_last =
        |name: &String| handle.shard_of(handle.key(name.as_bytes()).unwrap()) == handle.shards() - 1;
    let others: Vec<_> = (100..).map(|n: u64| n.to_string()).filter(on_last).take(100).collect();
    others.iter().for_each(|name| handle.try_increment(name, 1).unwrap());
    {
        let mut attempt = pin!(handle.apply_in_session(session(1), 1, requests.clone()));
        assert!(attempt.as_mut().now_or_never().is_none());
    }
    handle.flush().await.unwrap();
    let first = handle.stats().await.unwrap().total_operations - 100;
    assert!((1..20).contains(&first), "{first}");
    let applied = keyspace.handle().apply_in_session(session(1), 1, requests).await.unwrap();
    assert_eq!(applied.outcomes, [Outcome::Value(Some(1)); 20]);
    assert_eq!(handle.stats().await.unwrap().total_operations, 120);
    keyspace.shutdown().await;
}

/// Sends requests, each several times at once and through different handles. Returns the number of operations.
async fn request(handles: [KeyspaceHandle; 2], number: u64, mut random: Rng, calm: Arc<AtomicBool>) -> u128 {
    let mut sent = 0;
    for sequence in 1.. {
        let len = if random.u8(..20) == 0 { KEPT_OUTCOMES * 3 } else { random.usize(1..20) };
        let batch: Vec<_> = (0..len).map(|_| (random.u8(..50).to_string(), Operation::Add(1))).collect();
        sent += len as u128;
        let attempts = (0..random.usize(1..4))
            .map(|attempt| handles[attempt % 2].apply_in_session(session(number), sequence, batch.clone()));
        for applied in futures_util::future::join_all(attempts).await {
            assert_eq!(applied.unwrap().outcomes.len(), len);
        }
        if calm.load(Ordering::Relaxed) {
            break;
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn retries_that_overtake_each_other_on_shards_that_crash_count_once() {
    let seed = seed();
    let (mut random, faults, calm) =
        (Rng::with_seed(seed), Faults::default(), Arc::new(AtomicBool::new(false)));
    let keyspace = Keyspace::start_with(options(), faulty(&faults), None).await.unwrap();
    let mut clients = JoinSet::new();
    for number in 0..6 {
        let handles = [keyspace.handle(), keyspace.handle()];
        clients.spawn(request(handles, number, random.fork(), Arc::clone(&calm)));
    }
    let killer = tokio::spawn(kill(keyspace.handle(), random.fork(), Arc::clone(&calm)));
    for _ in 0..300 {
        faults.inject(Fault::random(&mut random));
        faults.happened().await;
    }
    calm.store(true, Ordering::Relaxed);
    killer.await.unwrap();
    let sent = timeout(Duration::from_secs(60), clients.join_all()).await.expect("every request is answered");
    let stats = keyspace.shutdown().await;
    assert_eq!(stats.total_operations, sent.into_iter().sum::<u128>(), "FAULT_SEED={seed}");
}
