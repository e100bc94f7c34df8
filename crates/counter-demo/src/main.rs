//! Drives the counter system from the command line: a simulation of clients, and counting of real input.
//!
//! `main` reads the arguments, runs one command and turns its outcome into an exit code; each command is a module.

mod cli;
mod count;
mod exit;
mod logging;
mod progress;
mod signals;
mod simulate;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::runtime::Runtime;

use crate::cli::{Cli, Command};
use crate::exit::{Ended, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = logging::init(&cli).and_then(|()| start(cli));
    exit::report(outcome)
}

fn start(cli: Cli) -> Result<Ended, Failure> {
    let runtime = Runtime::new()?;
    // On a worker thread, because messages from outside the workers take a slower way.
    let outcome = runtime.block_on(runtime.spawn(run(cli))).expect("commands do not panic");
    // Does not wait for the thread that may still be reading the standard input: it ends with the process.
    runtime.shutdown_background();
    outcome
}

async fn run(cli: Cli) -> Result<Ended, Failure> {
    match cli.command.unwrap_or(Command::Simulate(cli.simulate)) {
        Command::Simulate(arguments) => simulate::run(&arguments, signals::watch()?).await,
        Command::Count(arguments) => count::run(arguments, signals::watch()?).await,
        Command::Completions { shell } => {
            // Into memory first, because the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "counter-demo", &mut script);
            io::stdout().write_all(&script)?;
            Ok(Ended::Complete)
        }
    }
}
