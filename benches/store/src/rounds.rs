//! Commits of random names, back to back.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::engines::{self, Append, Engine, Fjall, Ours, Redb, Round, Sqlite};
use crate::process;

/// Time for which each engine commits.
const DURATION: Duration = Duration::from_secs(4);

type Open<'a> = (&'a str, Box<dyn Fn(&Path) -> Box<dyn Engine + 'a> + 'a>);

#[expect(clippy::print_stdout, reason = "this is a program")]
pub(crate) fn run(names: u64, runtime: &Runtime) {
    let engines: [Open<'_>; 5] = [
        ("append + fdatasync", Box::new(|dir| Box::new(Append::open(dir)))),
        ("counter-store", Box::new(|dir| Box::new(Ours::open(dir, engines::only_when_asked(), runtime)))),
        ("fjall", Box::new(|dir| Box::new(Fjall::open(dir)))),
        ("redb", Box::new(|dir| Box::new(Redb::open(dir)))),
        ("SQLite (WAL)", Box::new(|dir| Box::new(Sqlite::open(dir)))),
    ];
    println!(
        "| names per commit | engine | million entries/s | CPU s per million | longest commit | bytes written per entry |"
    );
    println!("|---|---|---|---|---|---|");
    for size in [1_000, 10_000, 100_000] {
        for (title, open) in &engines {
            let dir = tempfile::tempdir_in("target").expect("a directory");
            measure(title, open(dir.path()), size, names);
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is a program")]
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn measure(title: &str, mut engine: Box<dyn Engine + '_>, size: usize, names: u64) {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut entries, mut cpu, mut time, mut longest) = (0, Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let written = process::written_bytes();
    while time < DURATION {
        let numbers = (0..size).map(|_| random.u64(..names));
        let mut round: Round = numbers.map(|n| (engines::name(n), i64::MAX / 3, 1)).collect();
        round.sort_unstable();
        round.dedup();
        engine.prepare(&round);
        let (started, before) = (Instant::now(), process::cpu());
        engine.commit(&round);
        let taken = started.elapsed();
        entries += round.len();
        (cpu, time, longest) = (cpu + process::cpu() - before, time + taken, longest.max(taken));
    }
    engine.close();
    let written = process::written_bytes() - written;
    let (millions, seconds) = (entries as f64 / 1e6, time.as_secs_f64());
    println!(
        "| {size} | {title} | {:.2} | {:.2} | {:.1} ms | {:.1} |",
        millions / seconds,
        cpu.as_secs_f64() / millions,
        longest.as_secs_f64() * 1e3,
        written as f64 / entries as f64
    );
}
