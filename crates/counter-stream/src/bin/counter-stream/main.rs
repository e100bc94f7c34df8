//! Counts a topic of Kafka, produces to one, and shows that nothing is lost or counted twice.

mod chaos;
mod cli;
mod demo;
mod lines;
mod member;
mod produce;
mod rehearsal;
mod report;

use std::process::ExitCode;

use clap::Parser;
use counter_cli::{Completion, Failure, Program, Stop};
use ractor_transport::Cookie;

use crate::cli::{Cli, Command};

/// Log filter by default: librdkafka and `ractor_cluster` warn of what is tried again, and of what is meant.
const DEFAULT_FILTER: &str = "warn,librdkafka=error,rdkafka=error,ractor_cluster=error";

fn main() -> ExitCode {
    let Cli { command, log } = Cli::parse();
    let program = Program { name: "counter-stream", default_filter: DEFAULT_FILTER, log, threads: None };
    counter_cli::run(program, |stop| run(command, stop))
}

async fn run(command: Option<Command>, stop: Stop) -> Result<Completion, Failure> {
    match command {
        None => demo::run(stop).await,
        Some(Command::Member(arguments)) => member::run(*arguments, stop).await,
        Some(Command::Produce(arguments)) => produce::run(arguments, stop).await,
        Some(Command::Chaos(arguments)) => chaos::run(arguments, stop).await,
        Some(Command::Brokers(arguments)) => {
            rehearsal::serve(arguments).await?;
            Ok(Completion::Complete)
        }
        Some(Command::Cookie { file }) => {
            Cookie::generate().write_new(&file).map_err(Failure::input)?;
            Ok(Completion::Complete)
        }
    }
}
