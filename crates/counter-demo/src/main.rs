//! Drives the counter system from the command line: a simulation of clients, and counting of real input.
//!
//! `main` reads the arguments and runs one command; each command is a module. `counter-cli` turns its outcome into an
//! exit code.

mod cli;
mod count;
mod output;
mod progress;
mod simulate;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use counter_cli::{Completion, Failure, Program, Stop};

use crate::cli::{Cli, Command};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Restarts are worth a warning, unless they were asked for.
    let default_filter = if cli.crashes() { "error" } else { "warn" };
    let program = Program { name: "counter-demo", default_filter, log: cli.log, threads: None };
    counter_cli::run(program, |stop| run(cli, stop))
}

async fn run(cli: Cli, stop: Stop) -> Result<Completion, Failure> {
    match cli.command.unwrap_or(Command::Simulate(cli.simulate)) {
        Command::Simulate(arguments) => simulate::run(arguments, stop).await,
        Command::Count(arguments) => count::run(arguments, stop).await,
        Command::Completions { shell } => {
            // Into memory first, because the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "counter-demo", &mut script);
            Output::new(&stop)?.write(move |out| out.write_all(&script)).await?;
            Ok(Completion::Complete)
        }
    }
}
