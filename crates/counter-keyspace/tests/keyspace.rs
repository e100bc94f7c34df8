//! A keyspace as its callers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use counter_keyspace::{
    Deltas, Keyspace, KeyspaceError, KeyspaceHandle, KeyspaceOptions, Operation, Order, PageToken, Ranking,
    SessionError, SessionId, ShardActor, ShardMessage, ShardState,
};
use counter_protocol::{Count, CounterName, NameTooLong};
use fastrand::Rng;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use ractor_supervision::{Intensity, Lease, Options};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

async fn keyspace(shards: usize, max_pending_names: usize) -> Keyspace {
    let options = KeyspaceOptions {
        shards: NonZeroUsize::new(shards).expect("a shard"),
        max_pending_names: NonZeroUsize::new(max_pending_names).expect("room for a name"),
        ..KeyspaceOptions::default()
    };
    Keyspace::start(options).await.expect("it starts")
}

/// Shard that drops every question for a counter.
#[derive(Clone)]
struct Mute;

impl Actor for Mute {
    type Msg = ShardMessage;
    type State = Lease<ShardState>;
    type Arguments = Lease<ShardState>;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        state: Lease<ShardState>,
    ) -> Result<Lease<ShardState>, ActorProcessingErr> {
        ShardActor.pre_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Get(..) => Ok(()),
            other => ShardActor.handle(myself, other, state).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_a_shard_drops_is_not_reported_as_the_keyspaces_end() {
    let keyspace = Keyspace::start_with(KeyspaceOptions::default(), Mute, None).await.unwrap();
    let handle = keyspace.handle();
    assert_eq!(handle.value("a").await, Err(KeyspaceError::Unanswered));
    handle.increment("a", 1).await.unwrap();
    assert_eq!(handle.stats().await.unwrap().total_operations, 1);
    keyspace.shutdown().await;
}

/// Stops every shard for good, without telling the handles.
async fn kill_shards(keyspace: &Keyspace) {
    keyspace.supervisor().actor().kill_and_wait(None).await.expect("it dies");
}

async fn scan(handle: &KeyspaceHandle) -> Vec<(String, i64)> {
    let (mut all, mut next) = (Vec::new(), Some(PageToken::default()));
    while let Some(page) = next {
        let (counters, following) = handle.scan(page).await.expect("it answers");
        all.extend(counters.into_iter().map(|(name, count)| (name.to_string(), count.value)));
        next = following;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn values_totals_tops_and_scans_agree_with_a_map() {
    let keyspace = keyspace(3, 1_000).await;
    let handles = [keyspace.handle(), keyspace.handle()];
    let (mut random, mut model) = (Rng::with_seed(7), BTreeMap::<String, i64>::new());
    for n in 0..5_000 {
        let (name, amount) = (random.u16(..700).to_string(), random.i64(-50..50));
        handles[n % 2].increment(&name, amount).await.unwrap();
        *model.entry(name).or_default() += amount;
    }
    // Each handle's question comes after its own operations.
    for handle in &handles {
        handle.stats().await.unwrap();
    }
    let stats = handles[0].stats().await.unwrap();
    assert_eq!(stats.total_value, model.values().copied().map(i128::from).sum::<i128>());
    assert_eq!((stats.total_operations, stats.num_counters), (5_000, model.len() as u64));
    for (name, value) in &model {
        assert_eq!(handles[1].value(name).await.unwrap(), Some(*value));
    }
    let mut scanned = scan(&handles[0]).await;
    scanned.sort();
    assert!(scanned.into_iter().eq(model.clone()));

    let mut ranked: Vec<_> = model.into_iter().collect();
    ranked.sort_by_key(|(_, value)| -value);
    let top: Vec<_> = handles[0].top(25).await.unwrap();
    let top: Vec<_> = top.into_iter().map(|(name, count)| (name.to_string(), count.value)).collect();
    assert_eq!(top, ranked[..25]);
    keyspace.shutdown().await;
}

#[tokio::test]
async fn a_replicated_keyspace_refuses_what_needs_one_owner() {
    let options = KeyspaceOptions { is_replicated: true, ..KeyspaceOptions::default() };
    let keyspace = Keyspace::start(options).await.unwrap();
    let handle = keyspace.handle();
    handle.increment("a", 1).await.unwrap();
    let within = Operation::AddWithin { amount: 1, min: 0, max: 9 };
    let refused = [
        (Operation::Set(1), "set"),
        (Operation::GetAndSet(1), "get and set"),
        (within, "add within bounds"),
        (Operation::RemoveAndGet, "remove"),
        (Operation::Expire(1), "expire"),
    ];
    let session = SessionId { incarnation: 1, number: 1 };
    for (operation, command) in refused {
        let expected = KeyspaceError::NeedsOneOwner { command };
        assert_eq!(expected.to_string(), format!("{command} needs one owner; this store is replicated"));
        assert_eq!(handle.operate("a", operation).await, Err(expected));
        // A batch is refused as a whole.
        let batch = [("a", Operation::Add(1)), ("b", operation)];
        assert_eq!(handle.apply(batch).await, Err(expected));
        assert_eq!(handle.apply_in_session(session, 1, batch).await, Err(SessionError::Keyspace(expected)));
    }
    assert!(handle.remove("a").await.is_err() && handle.expire("a", 1).await.is_err());
    handle.apply([("a", Operation::Add(1)), ("a", Operation::Persist), ("a", Operation::Ttl)]).await.unwrap();
    assert_eq!(handle.value("a").await, Ok(Some(2)));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_counter_begins_anew() {
    let keyspace = keyspace(2, 10).await;
    let handle = keyspace.handle();
    handle.increment("a", 5).await.unwrap();
    let removed = handle.remove("a").await.unwrap().unwrap();
    assert_eq!((removed.value, removed.operations), (5, 1));
    assert_eq!(handle.remove("a").await.unwrap(), None);
    assert_eq!(handle.value("a").await.unwrap(), None);
    assert_eq!(handle.stats().await.unwrap().total_operations, 0);
    handle.increment("a", 1).await.unwrap();
    assert_eq!(handle.value("a").await.unwrap(), Some(1));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_has_each_counter_while_others_come_and_go() {
    let keyspace = keyspace(2, 10_000).await;
    let handle = keyspace.handle();
    for n in 0..2_000 {
        handle.increment(format!("stays {n}"), 1).await.unwrap();
    }
    let (mut seen, mut next, mut n) = (BTreeSet::new(), Some(PageToken::default()), 0);
    while let Some(page) = next {
        let (counters, following) = handle.scan(page).await.unwrap();
        let names = counters.into_iter().map(|(name, _)| name);
        seen.extend(names.filter(|name| name.as_bytes().starts_with(b"stays")));
        handle.increment(format!("comes {n}"), 1).await.unwrap();
        handle.remove(format!("comes {}", n / 2)).await.unwrap();
        (next, n) = (following, n + 1);
    }
    assert_eq!(seen.len(), 2_000);
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_the_sender_decides() {
    let (keyspace, other) = (keyspace(1, 2).await, keyspace(1, 2).await);
    let (handle, elsewhere) = (keyspace.handle(), other.handle());
    // The shard does not get to run before this task waits.
    for name in ["a", "b", "a"] {
        handle.try_increment(name, 1).unwrap();
    }
    assert_eq!(handle.try_increment("c", 1), Err(KeyspaceError::Full));
    assert_eq!(handle.increment_or_drop("c", 1), Ok(false));
    assert_eq!(handle.increment_or("c", 1, &elsewhere), Ok(()));
    handle.increment("d", 1).await.unwrap();
    assert_eq!(handle.stats().await.unwrap().total_operations, 4);
    assert_eq!(elsewhere.value("c").await.unwrap(), Some(1));
    let metrics = handle.metrics();
    assert_eq!((metrics.delivered, metrics.refused, metrics.dropped), (4, 2, 1));
    keyspace.shutdown().await;
    other.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_few_long_names_fill_a_handle_too() {
    let options = KeyspaceOptions {
        shards: NonZeroUsize::MIN,
        max_pending_name_bytes: 2 * CounterName::MAX_BYTES,
        ..KeyspaceOptions::default()
    };
    let keyspace = Keyspace::start(options).await.unwrap();
    let handle = keyspace.handle();
    let name = |n: u8| vec![n; CounterName::MAX_BYTES];
    // The shard does not get to run before this task waits.
    for n in [0, 1, 0] {
        handle.try_increment(name(n), 1).unwrap();
    }
    assert_eq!(handle.try_increment("short", 1), Err(KeyspaceError::Full));
    handle.increment(name(2), 1).await.unwrap();
    assert_eq!(handle.stats().await.unwrap().total_operations, 4);
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn names_are_any_bytes_up_to_a_limit() {
    let keyspace = keyspace(2, 10).await;
    let handle = keyspace.handle();
    let longest = vec![0xff; CounterName::MAX_BYTES];
    for name in [&b""[..], b"a\nb", &longest] {
        handle.increment(name, 1).await.unwrap();
        assert_eq!(handle.value(name).await.unwrap(), Some(1));
    }
    let too_long = vec![b'x'; CounterName::MAX_BYTES + 1];
    let refused = KeyspaceError::NameTooLong(NameTooLong { len_bytes: too_long.len() });
    assert_eq!(handle.increment(&too_long, 1).await, Err(refused));
    assert_eq!(handle.try_increment(&too_long, 1), Err(refused));
    assert_eq!(handle.value(&too_long).await, Err(refused));
    assert_eq!(handle.remove(&too_long).await, Err(refused));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_counted_and_changes_nothing() {
    let keyspace = keyspace(1, 10).await;
    let handle = keyspace.handle();
    handle.increment("full", i64::MAX).await.unwrap();
    assert_eq!(handle.value("full").await.unwrap(), Some(i64::MAX));
    handle.increment("full", 1).await.unwrap();
    let stats = handle.stats().await.unwrap();
    assert_eq!(
        (stats.total_value, stats.total_operations, stats.rejected_operations),
        (i64::MAX.into(), 1, 1)
    );
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_first_operation_starts_no_counter() {
    let keyspace = keyspace(1, 10).await;
    let handle = keyspace.handle();
    for amount in [i64::MAX, 1] {
        handle.increment("new", amount).await.unwrap();
    }
    assert_eq!(handle.value("new").await.unwrap(), None);
    let stats = handle.stats().await.unwrap();
    assert_eq!((stats.num_counters, stats.total_operations, stats.rejected_operations), (0, 0, 2));
    handle.increment("new", 1).await.unwrap();
    assert_eq!(handle.value("new").await.unwrap(), Some(1));
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_applies_what_was_sent_and_ends_every_handle_and_task() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let keyspace = keyspace(4, 10).await;
    let handle = keyspace.handle();
    handle.increment("a", 1).await.unwrap();
    let stats = keyspace.shutdown().await;
    assert_eq!((stats.total_value, stats.total_operations, stats.num_counters), (1, 1, 1));
    assert_eq!(handle.metrics().delivered, 1);
    assert_eq!(handle.increment("a", 1).await, Err(KeyspaceError::Stopped));
    assert_eq!(handle.stats().await, Err(KeyspaceError::Stopped));
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_millis(10), gone).await.expect("all tasks end with the keyspace");
}

/// Increments until that is refused, and returns the number of accepted increments.
async fn count_until_refused(handle: KeyspaceHandle) -> u128 {
    let mut accepted = 0;
    while handle.increment(accepted.to_string(), 1).await.is_ok() {
        accepted += 1;
        tokio::task::coop::consume_budget().await;
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_accepted_during_a_shutdown_are_applied() {
    for _ in 0..100 {
        let keyspace = keyspace(3, 10).await;
        let mut senders = JoinSet::new();
        for _ in 0..3 {
            senders.spawn(count_until_refused(keyspace.handle()));
        }
        keyspace.handle().stats().await.unwrap();
        let stats = keyspace.shutdown().await;
        let accepted: u128 = senders.join_all().await.into_iter().sum();
        assert_eq!(
            (stats.total_operations, stats.total_value),
            (accepted, i128::try_from(accepted).unwrap())
        );
        assert!(stats.unanswered.is_empty());
    }
}

/// Shard that reports the number of operations it has applied when it stops.
#[derive(Clone)]
struct Reporting(mpsc::Sender<u128>);

impl Actor for Reporting {
    type Msg = ShardMessage;
    type State = Lease<ShardState>;
    type Arguments = Lease<ShardState>;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        state: Lease<ShardState>,
    ) -> Result<Lease<ShardState>, ActorProcessingErr> {
        ShardActor.pre_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        ShardActor.handle(myself, message, state).await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<ShardMessage>,
        state: &mut Lease<ShardState>,
    ) -> Result<(), ActorProcessingErr> {
        let (port, stats) = ractor::concurrency::oneshot();
        ShardActor.handle(myself, ShardMessage::GetStats(port.into()), state).await?;
        self.0.send(stats.await?.total_operations).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_accepted_while_a_keyspace_gives_up_are_applied_by_the_shards_that_live() {
    let intensity = Intensity { restarts: 0, within: Duration::from_secs(60) };
    let options = KeyspaceOptions {
        shards: NonZeroUsize::new(2).unwrap(),
        supervision: Options { intensity, ..Options::default() },
        ..KeyspaceOptions::default()
    };
    for _ in 0..100 {
        let (stopped, mut applied) = mpsc::channel(9);
        let keyspace = Keyspace::start_with(options.clone(), Reporting(stopped), None).await.unwrap();
        let handle = keyspace.handle();
        let [doomed, healthy] = [0, 1].map(|shard| {
            let on_shard = |name: &String| handle.shard_of(handle.key(name.as_bytes()).unwrap()) == shard;
            (0..).map(|n: u64| n.to_string()).find(on_shard).expect("a name for each shard")
        });
        let mut senders = JoinSet::new();
        for _ in 0..3 {
            let (handle, name) = (keyspace.handle(), healthy.clone());
            senders.spawn(async move {
                let mut accepted = 0_u128;
                while handle.increment(&name, 1).await.is_ok() {
                    accepted += 1;
                    tokio::task::coop::consume_budget().await;
                }
                accepted
            });
        }
        assert_eq!(handle.value(&doomed).await, Ok(None));
        let mut shards = keyspace.supervisor().actor().get_children();
        shards.sort_by_key(ActorCell::get_id);
        shards[0].kill();
        let accepted: u128 = senders.join_all().await.into_iter().sum();
        assert_eq!(applied.recv().await, Some(accepted));
        assert_eq!(keyspace.shutdown().await.unanswered.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_restart_of_a_shard_that_has_accepted_operations() {
    let keyspace = keyspace(1, 10).await;
    let handle = keyspace.handle();
    handle.increment("a", 1).await.unwrap();
    keyspace.supervisor().actor().get_children().into_iter().for_each(|shard| shard.kill());
    handle.increment("a", 2).await.unwrap();
    let stats = keyspace.shutdown().await;
    assert_eq!((stats.total_value, stats.total_operations, stats.restarts), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_keyspace_that_dies_tells_those_who_wait() {
    let keyspace = keyspace(2, 10).await;
    let handle = keyspace.handle();
    handle.increment("a", 1).await.unwrap();
    kill_shards(&keyspace).await;
    assert_eq!(handle.value("a").await, Err(KeyspaceError::Stopped));
    let stats = keyspace.shutdown().await;
    assert_eq!(stats.unanswered, ["shard 0", "shard 1"].map(CounterName::from_static).into());
}

#[tokio::test(start_paused = true)]
async fn a_keyspace_goes_on_from_its_initial_counters() {
    let counters = (0..100_i64).map(|n| {
        (CounterName::new(n.to_string()).unwrap(), Count { value: -n, operations: n.unsigned_abs() + 1 })
    });
    let twice = [(CounterName::from_static("7"), Count { value: 70, operations: 2 })];
    let options = KeyspaceOptions { shards: NonZeroUsize::new(3).unwrap(), ..KeyspaceOptions::default() };
    let keyspace = Keyspace::resume(options, counters.chain(twice)).await.unwrap();
    let handle = keyspace.handle();
    assert_eq!(handle.count("7").await.unwrap(), Some(Count { value: 70, operations: 2 }), "the last one");
    for shard in keyspace.supervisor().actor().get_children() {
        shard.kill();
    }
    handle.increment("99", 100).await.unwrap();
    assert_eq!(handle.value("99").await.unwrap(), Some(1));
    let stats = keyspace.shutdown().await;
    let value = -(0..100).sum::<i128>() + 7 + 70 + 100;
    assert_eq!((stats.num_counters, stats.total_value), (100, value));
    assert_eq!((stats.total_operations, stats.restarts), ((1..=100).sum::<u128>() - 8 + 2 + 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_sent_and_fails_once_the_keyspace_has_stopped() {
    let keyspace = keyspace(3, 10).await;
    let (handle, other) = (keyspace.handle(), keyspace.handle());
    for n in 0..100 {
        handle.increment(n.to_string(), 1).await.unwrap();
    }
    handle.flush().await.unwrap();
    assert_eq!(handle.metrics().delivered, 100);
    assert_eq!(other.stats().await.unwrap().total_operations, 100);
    keyspace.shutdown().await;
    assert_eq!(handle.flush().await, Err(KeyspaceError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn shards_that_are_not_there_are_an_error() {
    let (two, three) = (keyspace(2, 10).await, keyspace(3, 10).await);
    let no_such_shard = KeyspaceError::NoSuchShard { shards: 2 };
    assert_eq!(two.handle().follow().pull(2, 1).await, Err(no_such_shard));
    let deltas = || Deltas::bounded(NonZeroUsize::MIN, usize::MAX);
    assert_eq!(two.handle().merge(vec![deltas(), deltas(), deltas()]).await, Err(no_such_shard));
    two.shutdown().await;
    three.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn its_tables_hold_everything_after_its_end_through_a_crash() {
    let keyspace = keyspace(3, 10).await;
    let handle = keyspace.handle();
    for n in 0..100 {
        handle.increment(n.to_string(), n).await.unwrap();
    }
    keyspace.supervisor().actor().get_children()[0].kill();
    let tables = keyspace.into_tables().await.unwrap();
    assert_eq!(handle.try_increment("late", 1), Err(KeyspaceError::Stopped));
    let values: Vec<_> = Ranking::new(&tables, Order::Value).iter().map(|(_, count)| count.value).collect();
    assert_eq!((tables.len(), values), (3, (0..100).rev().collect()));
}

#[tokio::test(start_paused = true)]
async fn there_are_no_tables_of_a_keyspace_that_has_given_up() {
    let intensity = Intensity { restarts: 0, ..Intensity::default() };
    let supervision = Options { intensity, ..Options::default() };
    let keyspace =
        Keyspace::start(KeyspaceOptions { supervision, ..KeyspaceOptions::default() }).await.unwrap();
    keyspace.supervisor().actor().get_children()[0].kill();
    keyspace.supervisor().actor().wait(None).await.unwrap();
    assert!(!keyspace.into_tables().await.unwrap_err().unanswered.is_empty());
}
