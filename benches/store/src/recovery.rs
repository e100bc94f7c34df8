//! Time from opening a store to its first answer.

use counter_store::{Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::engines;

#[expect(clippy::print_stdout, reason = "this is a program")]
pub(crate) fn run(names: u64, runtime: &Runtime) {
    let dir = tempfile::tempdir_in("target").expect("a directory");
    let dir = dir.path().join("store");
    runtime.block_on(async {
        let (store, keyspace) = Store::open(&dir, StoreOptions::default()).await.expect("a new directory");
        let handle = keyspace.handle();
        for n in 0..names {
            handle.increment(engines::name(n), 1).await.expect("it runs");
        }
        store.shutdown().await.expect("the disk works");
        keyspace.shutdown().await;
        let started = Instant::now();
        let (store, keyspace) = Store::open(&dir, StoreOptions::default()).await.expect("what was stored");
        let value = store.handle().keyspace().value(engines::name(names / 2)).await.expect("it runs");
        assert_eq!(value, Some(1));
        println!("{names} names: first answer after {:.2} s", started.elapsed().as_secs_f64());
        store.shutdown().await.expect("the disk works");
        keyspace.shutdown().await;
    });
}
