//! Compares the throughput of exact counters: `counter-actor`'s handle and its alternatives.
//!
//! Without an argument, producers are tokio tasks; with `threads`, they are threads. `flood` shows what a slow counter
//! costs in memory, `idle` what idle counters cost in time.
#![expect(clippy::print_stdout, reason = "tables on standard output are all that this program is for")]

mod contestants;
mod flood;
mod idle;
mod process;
mod produce;
mod race;
mod table;

use std::env;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

/// Worker threads of the one runtime that all contestants run on.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => race::run(&runtime(), &contestants::with_tasks()),
        ["threads"] => race::run(&runtime(), &contestants::with_threads()),
        ["flood"] => runtime().block_on(flood::run()),
        ["idle"] => runtime().block_on(idle::run()),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a usage error is no result")]
fn usage() -> ExitCode {
    eprintln!("compare: the argument can be `threads`, `flood` or `idle`; without one, producers are tasks");
    ExitCode::from(2)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_time().build().expect("the runtime starts")
}
