//! Measures what durable counts cost, each part beside its peers in one run.
//!
//! `cargo run --release -- rounds | callers | handles | recovery [names]`

mod callers;
mod engines;
mod handles;
mod process;
mod recovery;
mod rounds;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let names = arguments.get(1).map_or(Ok(1_000_000), |names| names.parse());
    let (Some(what), Ok(names)) = (arguments.first(), names) else { return usage() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match what.as_str() {
        "rounds" => rounds::run(names, &runtime),
        "callers" => callers::run(&runtime),
        "handles" => handles::run(&runtime),
        "recovery" => recovery::run(names, &runtime),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "this is a program")]
fn usage() -> ExitCode {
    eprintln!("usage: compare-store rounds [names] | callers | handles | recovery [names]");
    ExitCode::from(2)
}
