//! A store that replicates, with columns that a test holds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use counter_keyspace::{Entry, EntryPage, Keyspace, KeyspaceError, KeyspaceOptions, Operation, SessionError};
use counter_protocol::Count;
use counter_store::disk::{Disk, Fault, MemoryDisk};
use counter_store::{
    ColumnEnds, ColumnPage, ColumnSink, ColumnTotals, Columns, Durability, DurabilityError, Member,
    OpenError, ReplicaKey, Store, StoreId, StoreOptions,
};
use tempfile::TempDir;

use super::commands::{refused, run};

/// Columns by replica and name, all of which each round holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<BTreeMap<ReplicaKey, Column>>>);

type Column = BTreeMap<Vec<u8>, Count>;

impl Held {
    fn operations(&self) -> Vec<u128> {
        let columns = self.0.lock().unwrap();
        let sum = |column: &Column| column.values().map(|count| u128::from(count.operations)).sum();
        columns.values().map(sum).collect()
    }

    fn page(&self) -> ColumnPage {
        let columns = self.0.lock().unwrap();
        let page = |(replica, column): (&ReplicaKey, &Column)| {
            let mut page = EntryPage::default();
            page.extend(column.iter().map(|(name, &count)| Entry { name, count, deadline_ms: None }));
            (replica.clone(), page)
        };
        ColumnPage { columns: columns.iter().map(page).collect(), left: 0 }
    }
}

impl ColumnSink for Held {
    fn set(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        self.0.lock().unwrap().entry(replica.clone()).or_default().insert(name.to_vec(), count);
        true
    }

    fn merge(&mut self, replica: &ReplicaKey, name: &[u8], count: Count) -> bool {
        self.set(replica, name, count)
    }

    fn totals(&self, replica: &ReplicaKey) -> ColumnTotals {
        let columns = self.0.lock().unwrap();
        let counts = columns.get(replica).into_iter().flat_map(Column::values);
        counts.fold(ColumnTotals::default(), |totals, count| ColumnTotals {
            names: totals.names + 1,
            value: totals.value + i128::from(count.value),
            operations: totals.operations + u128::from(count.operations),
        })
    }
}

impl Columns for Held {
    async fn pull(&mut self, _: usize) -> Result<ColumnPage, KeyspaceError> {
        Ok(ColumnPage::default())
    }

    async fn finish(&mut self) -> Result<(ColumnPage, ColumnEnds), KeyspaceError> {
        let page = self.page();
        let ends = page.columns.iter().map(|(replica, _)| (replica.clone(), self.totals(replica))).collect();
        Ok((page, ends))
    }

    fn confirm(&mut self) {}

    fn retry(&mut self) {}

    fn reset(&mut self) {}

    async fn snapshot_page(&mut self, _: u64, _: usize) -> Result<(ColumnPage, Option<u64>), KeyspaceError> {
        Ok((self.page(), None))
    }
}

fn options() -> StoreOptions {
    let keyspace = KeyspaceOptions { shards: NonZeroUsize::new(3).unwrap(), ..KeyspaceOptions::default() };
    StoreOptions { keyspace, segment_bytes: 1 << 16, ..StoreOptions::default() }
}

async fn open(disk: &MemoryDisk) -> Result<(Store, Keyspace, ReplicaKey, Held), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (recovered, mut held) = Store::recover_on(disk, options(), Held::default(), |_| {}).await?;
    let sealed = recovered.seal("a", UNIX_EPOCH, &mut held)?;
    let own = sealed.own().clone();
    let (store, keyspace) = sealed.start(held.clone()).await?;
    store.flush().await.unwrap();
    Ok((store, keyspace, own, held))
}

async fn open_plain(disk: &MemoryDisk) -> Result<(Store, Keyspace), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Store::open_on(disk, options(), |_| {}).await
}

async fn close(store: Store, keyspace: Keyspace) {
    store.shutdown().await.unwrap();
    keyspace.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_had_peers_counts_from_zero_at_each_open_and_is_refused_without_them() {
    let disk = MemoryDisk::new(0);
    let (store, keyspace) = open_plain(&disk).await.unwrap();
    store.handle().increment("hits", 1).await.unwrap();
    close(store, keyspace).await;
    let mut last = 0;
    for life in 1..=3 {
        let (store, keyspace, own, held) = open(&disk).await.unwrap();
        assert!(own.incarnation > last);
        last = own.incarnation;
        assert_eq!(store.handle().keyspace().value("hits").await.unwrap(), None);
        assert_eq!(held.operations(), vec![1; life]);
        store.handle().increment("hits", 1).await.unwrap();
        close(store, keyspace).await;
        let refused = open_plain(&disk).await.unwrap_err();
        assert_eq!(refused.to_string(), "store has, or ever had, peers; open it as a node of its cluster");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_are_opened_at_the_same_time_are_different_replicas() {
    let disk = MemoryDisk::new(0);
    let (store, keyspace, ..) = open(&disk).await.unwrap();
    close(store, keyspace).await;
    let mut incarnations = BTreeSet::new();
    for copy in 0..5 {
        let (store, keyspace, own, _) = open(&disk.copy(copy)).await.unwrap();
        assert!(incarnations.insert(own.incarnation), "{own} is there twice");
        close(store, keyspace).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_columns_is_checked_and_dumped_and_its_sums_are_loaded() {
    let outer = TempDir::new().unwrap();
    let dir = outer.path().join("counts");
    let mut replicas = Vec::new();
    for amount in [3, -5] {
        let (recovered, mut held) = Store::recover(&dir, options(), Held::default()).await.unwrap();
        let sealed = recovered.seal("a", UNIX_EPOCH, &mut held).unwrap();
        replicas.push(sealed.own().to_string());
        let (store, keyspace) = sealed.start(held).await.unwrap();
        store.handle().increment("hits", amount).await.unwrap();
        close(store, keyspace).await;
    }
    let checked = run(&["check"], &dir, "");
    let text = String::from_utf8(checked.stdout).unwrap();
    let [sealed, own] = &replicas[..] else { panic!("two lives") };
    let line = format!("replica {own}, 0 members\n1 columns of others, value 3, 1 operations\n");
    assert!(text.contains(&line), "{text}");
    let dumped = run(&["dump"], &dir, "").stdout;
    let own = r#"{"name":"hits","value":-5,"operations":1}"#;
    let lines =
        format!("{own}\n{},\"replica\":\"{sealed}\"}}\n", r#"{"name":"hits","value":3,"operations":1"#);
    assert_eq!(String::from_utf8(dumped).unwrap(), lines);
    let loaded = outer.path().join("loaded");
    let line = refused(&run(&["load"], &loaded, &lines), 2);
    assert!(line.ends_with("line 2: entry of a replica; load what `dump --sum` prints\n"), "{line}");
    let sums = String::from_utf8(run(&["dump", "--sum"], &dir, "").stdout).unwrap();
    assert_eq!(sums, "{\"name\":\"hits\",\"value\":-2,\"operations\":2}\n");
    assert!(run(&["load"], &loaded, &sums).status.success());
    assert_eq!(String::from_utf8(run(&["dump"], &loaded, "").stdout).unwrap(), sums);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_known_after_a_power_failure_and_sessions_are_over() {
    let disk = MemoryDisk::new(0);
    let (store, keyspace, own, _) = open(&disk).await.unwrap();
    let member = Member { store: StoreId([3; 16]), node: "b".into(), is_mutual: true };
    store.commits().record_member(member.clone()).await.unwrap();
    let session = store.open_session("client").unwrap();
    assert_eq!(session.incarnation, own.incarnation);
    let add = || [("hits", Operation::Add(1))];
    let handle = store.handle();
    handle.apply_in_session_at(session, 1, add(), Durability::Fsync).await.unwrap();
    disk.fail_at(disk.operations(), Fault::Crash);
    let mut committed = store.committed();
    drop((handle, store));
    committed.wait_for(|committed| committed.is_stopped).await.unwrap();
    keyspace.shutdown().await;
    disk.restart();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (recovered, mut held) = Store::recover_on(disk, options(), Held::default(), |_| {}).await.unwrap();
    assert_eq!((recovered.own(), recovered.members().collect::<Vec<_>>()), (Some(&own), vec![&member]));
    let sealed = recovered.seal("a", UNIX_EPOCH, &mut held).unwrap();
    let (store, keyspace) = sealed.start(held.clone()).await.unwrap();
    let retried = store.handle().apply_in_session_at(session, 1, add(), Durability::Fsync).await;
    assert_eq!(retried, Err(DurabilityError::Session(SessionError::Expired)));
    assert_eq!(held.operations(), [1]);
    close(store, keyspace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_counters_expire_is_refused_its_first_peer() {
    let disk = MemoryDisk::new(0);
    let (store, keyspace) = open_plain(&disk).await.unwrap();
    store.handle().increment("hits", 1).await.unwrap();
    keyspace.handle().expire("hits", u64::MAX).await.unwrap();
    close(store, keyspace).await;
    let refused = open(&disk).await.unwrap_err().to_string();
    assert!(refused.starts_with("store has counters that expire (1), which need one owner"), "{refused}");
    let (store, keyspace) = open_plain(&disk).await.unwrap();
    assert_eq!(store.handle().keyspace().value("hits").await.unwrap(), Some(1));
    close(store, keyspace).await;
}
