//! A keyspace that goes on from what its feeds have delivered.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use counter_keyspace::{
    Entry, Keyspace, KeyspaceOptions, PageToken, Partitioner, RecoveryError, ResumeError, SessionId,
    SessionRecord, ShardBuilder,
};
use counter_protocol::{Count, CounterName};
use fastrand::Rng;

const SEEDS: [u64; 4] = [1, 2, 3, 4];

fn partitioner() -> Partitioner {
    Partitioner::new(SEEDS, NonZeroUsize::new(3).expect("it is not zero"))
}

fn options() -> KeyspaceOptions {
    let partitioner = partitioner();
    KeyspaceOptions { shards: partitioner.shards(), hash_seeds: Some(SEEDS), ..KeyspaceOptions::default() }
}

async fn everything(keyspace: &Keyspace) -> BTreeMap<CounterName, Count> {
    let (handle, mut all, mut next) = (keyspace.handle(), BTreeMap::new(), Some(PageToken::default()));
    while let Some(token) = next {
        let (page, following) = handle.scan(token).await.expect("it runs");
        all.extend(page);
        next = following;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_keyspace_that_is_built_from_rounds_equals_the_one_that_they_come_from() {
    let keyspace = Keyspace::start(options()).await.unwrap();
    let handle = keyspace.handle();
    let (mut feed, mut random) = (handle.follow(), Rng::with_seed(7));
    let partitioner = partitioner();
    let mut builders: Vec<_> = (0..3).map(|shard| ShardBuilder::new(&partitioner, shard)).collect();
    builders[0].reserve(1_000, 100);
    for _ in 0..5 {
        for _ in 0..2_000 {
            let name = format!("{:0width$}", random.u16(..700), width = random.usize(3..30));
            handle.increment(&name, random.i64(-9..9)).await.unwrap();
            if random.u8(..4) == 0 {
                handle.remove(&name).await.unwrap();
            }
        }
        handle.increment("range", i64::MAX).await.unwrap();
        handle.flush().await.unwrap();
        for (shard, builder) in builders.iter_mut().enumerate() {
            let mut pages = vec![feed.pull(shard, 50).await.unwrap(), feed.finish(shard).await.unwrap()];
            for page in &mut pages {
                if page.reset {
                    builder.reset();
                }
                let end = page.end.take();
                for name in end.iter().flat_map(|end| &end.removed) {
                    builder.remove(name).unwrap();
                }
                for entry in page.changed.iter() {
                    builder.insert(entry).unwrap();
                }
                if let Some(end) = end {
                    builder.set_rejected(end.totals.rejected_operations);
                    builder.set_clock(end.clock_ms);
                    assert_eq!(builder.totals(), end.totals);
                }
            }
            feed.confirm(shard);
        }
    }
    let (expected, stats) = (everything(&keyspace).await, handle.stats().await.unwrap());
    let shards = builders.into_iter().map(ShardBuilder::build).collect();
    let (recovered, mut feed) = Keyspace::resume_from(KeyspaceOptions::default(), shards).await.unwrap();
    assert_eq!(everything(&recovered).await, expected);
    let stats_now = recovered.handle().stats().await.unwrap();
    assert!(stats.rejected_operations > 0);
    assert_eq!(
        (stats_now.total_operations, stats_now.total_value, stats_now.rejected_operations),
        (stats.total_operations, stats.total_value, stats.rejected_operations)
    );
    let name = expected.keys().next().unwrap().as_bytes();
    let shard = partitioner.shard_of(partitioner.key(name).unwrap());
    assert_eq!(shard, recovered.handle().shard_of(recovered.handle().key(name).unwrap()));
    recovered.handle().remove(name).await.unwrap();
    for n in 0..3 {
        let round = feed.finish(n).await.unwrap();
        assert!(!round.reset && round.changed.is_empty());
        let expected: &[Box<[u8]>] = if n == shard { &[name.into()] } else { &[] };
        assert_eq!(round.end.unwrap().removed, expected);
    }
    keyspace.shutdown().await;
    recovered.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_and_their_floor_are_recovered() {
    let partitioner = Partitioner::new(SEEDS, NonZeroUsize::MIN);
    let mut builder = ShardBuilder::new(&partitioner, 0);
    let id = |number| SessionId { incarnation: 1, number };
    let record = SessionRecord { sequence: 3, fingerprint: 4, done: 1, outcomes: vec![] };
    (0..5).for_each(|number| builder.session(id(number), record.clone()));
    builder.set_session_floor(id(2));
    builder.set_clock(99);
    assert_eq!(builder.totals().sessions, 3);
    let (keyspace, mut feed) =
        Keyspace::resume_from(KeyspaceOptions::default(), vec![builder.build()]).await.unwrap();
    let records: Vec<_> = (3..5).map(|number| (id(number), record.clone())).collect();
    assert_eq!(feed.session_page(0, Some(id(2)), 9).await.unwrap(), records);
    let end = feed.finish(0).await.unwrap().end.unwrap();
    assert_eq!((end.sessions.len(), end.session_floor, end.totals.sessions), (0, id(2), 3));
    assert!(end.clock_ms >= 99);
    let end = keyspace.handle().follow().finish(0).await.unwrap().end.unwrap();
    assert_eq!(end.sessions.len(), 3);
    keyspace.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn shards_of_different_keyspaces_are_refused() {
    let partitioner = partitioner();
    let built = |shard| ShardBuilder::new(&partitioner, shard).build();
    for shards in [vec![], vec![built(0), built(1)], vec![built(1), built(0), built(2)]] {
        let resumed = Keyspace::resume_from(KeyspaceOptions::default(), shards).await;
        assert!(matches!(resumed, Err(ResumeError::Incomplete)));
    }
    let key = partitioner.key(b"a").unwrap();
    let (belongs_to, shard) = (partitioner.shard_of(key), (partitioner.shard_of(key) + 1) % 3);
    let mut builder = ShardBuilder::new(&partitioner, shard);
    let entry = Entry { name: b"a", count: Count { value: 1, operations: 1 }, deadline_ms: None };
    assert_eq!(builder.insert(entry), Err(RecoveryError::OtherShard { shard, belongs_to }));
    assert_ne!(partitioner.test_vector(), Partitioner::new([4, 3, 2, 1], NonZeroUsize::MIN).test_vector());
}
