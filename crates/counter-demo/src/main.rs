//! Drives the counter system from the command line: a simulation of clients, and counting of real input.
//!
//! `main` reads the arguments, runs one command and turns its outcome into an exit code; each command is a module.

mod cli;
mod count;
mod exit;
mod logging;
mod output;
mod progress;
mod signals;
mod simulate;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::runtime::Runtime;

use crate::cli::{Cli, Command};
use crate::exit::{Ended, Failure};
use crate::output::Output;
use crate::signals::Stop;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = logging::init(&cli).and_then(|()| start(cli));
    exit::report(outcome)
}

fn start(cli: Cli) -> Result<Ended, Failure> {
    let stop = signals::watch()?;
    let runtime = Runtime::new()?;
    // On a worker thread, because messages from outside the workers take a slower way.
    let outcome = runtime.block_on(runtime.spawn(run(cli, stop))).expect("commands do not panic");
    // Does not wait for threads that may still be reading or writing: they end with the process.
    runtime.shutdown_background();
    outcome
}

async fn run(cli: Cli, stop: Stop) -> Result<Ended, Failure> {
    match cli.command.unwrap_or(Command::Simulate(cli.simulate)) {
        Command::Simulate(arguments) => simulate::run(arguments, stop).await,
        Command::Count(arguments) => count::run(arguments, stop).await,
        Command::Completions { shell } => {
            // Into memory first, because the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "counter-demo", &mut script);
            Output::new(&stop)?.write(move |out| out.write_all(&script)).await?;
            Ok(Ended::Complete)
        }
    }
}
