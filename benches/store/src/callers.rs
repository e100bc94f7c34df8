//! Callers that each wait for the disk, one operation at a time, beside what the disk allows.

use std::time::Duration;

use counter_store::{Durability, Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::engines::{self, Append, Engine};

const CALLERS: usize = 50;
const DURATION: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

#[expect(clippy::print_stdout, reason = "this is a program")]
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
pub(crate) fn run(runtime: &Runtime) {
    println!("{CALLERS} callers that each wait for `fsync`, one operation at a time");
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir_in("target").expect("a directory");
        let (operations, commits) = runtime.block_on(ours(dir.path()));
        let per_commit = operations as f64 / commits as f64;
        let bare =
            bare(dir.path(), usize::try_from((operations + commits / 2) / commits).expect("it is small"));
        println!(
            "{:.0} operations/s, {per_commit:.1} callers per commit; append + fdatasync of as many: {:.0}/s; ratio {:.2}",
            operations as f64 / DURATION.as_secs_f64(),
            bare,
            operations as f64 / DURATION.as_secs_f64() / bare,
        );
    }
}

/// Returns the number of operations and of commits.
async fn ours(dir: &std::path::Path) -> (u64, u64) {
    let opened = Store::open(&dir.join("store"), StoreOptions::default()).await;
    let (store, keyspace) = opened.expect("a new directory");
    let committed = store.committed();
    let before = committed.borrow().rounds;
    let end = Instant::now() + DURATION;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let handle = store.handle();
            tokio::spawn(async move {
                let (mut operations, name) = (0, engines::name(caller as u64));
                while Instant::now() < end {
                    handle.increment_at(name, 1, Durability::Fsync).await.expect("the disk works");
                    operations += 1;
                }
                operations
            })
        })
        .collect();
    let mut operations = 0;
    for caller in callers {
        operations += caller.await.expect("it does not panic");
    }
    let commits = committed.borrow().rounds - before;
    store.shutdown().await.expect("the disk works");
    keyspace.shutdown().await;
    (operations, commits)
}

/// Operations per second if each commit has this number of them.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn bare(dir: &std::path::Path, per_commit: usize) -> f64 {
    let mut append = Append::open(dir);
    let round = (0..per_commit as u64).map(|n| (engines::name(n), 1, 1)).collect();
    let (started, mut commits) = (Instant::now(), 0);
    while started.elapsed() < DURATION {
        append.commit(&round);
        commits += per_commit;
    }
    commits as f64 / started.elapsed().as_secs_f64()
}
