//! Starts a cluster of `counter-server` processes, disturbs it, and checks what it holds.

mod cli;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, bail};
use clap::Parser;
use counter_chaos::ChaosOptions;
use counter_cli::{Completion, Failure, Program, Stop};

use crate::cli::Cli;

/// Time that the cluster has to kill its nodes when it is interrupted.
const INTERRUPTED: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = Program { name: "counter-chaos", default_filter: "warn", log: cli.log, threads: None };
    counter_cli::run(program, |stop| run(cli, stop))
}

async fn run(cli: Cli, mut stop: Stop) -> Result<Completion, Failure> {
    let options = ChaosOptions {
        program: server_program(cli.server).map_err(Failure::Input)?,
        nodes: cli.nodes,
        operations: cli.operations,
        names: cli.names,
        seconds: cli.seconds,
        faults: !cli.no_faults,
        seed: cli.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
    };
    // On a task of its own, which may be stuck because nobody reads what it prints.
    let mut running = tokio::spawn(async { counter_chaos::run(options, &mut io::stdout()).await });
    tokio::select! {
        outcome = &mut running => outcome.context("failed to run the cluster")??,
        signal = stop.wait() => {
            running.abort();
            let _ = tokio::time::timeout(INTERRUPTED, running).await;
            return Ok(Completion::Partial(signal, "the cluster was not checked".into()));
        }
    }
    Ok(Completion::Complete)
}

/// Returns the path of `counter-server`: the given one, or one beside this executable.
fn server_program(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        if !given.is_file() {
            bail!("{}: expected the executable counter-server", given.display());
        }
        return Ok(given);
    }
    let own = env::current_exe().context("failed to find the executable of counter-chaos")?;
    let beside = own.with_file_name(format!("counter-server{}", env::consts::EXE_SUFFIX));
    if !beside.is_file() {
        bail!("counter-server not found beside counter-chaos; build it with `cargo build -p counter-server`");
    }
    Ok(beside)
}
