//! Serves counters from the command line.

mod cli;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use counter_cli::{Completion, Failure, Program, Stop};
use counter_keyspace::KeyspaceOptions;
use counter_server::{Limits, ServeOptions, Server, StatsdOptions, Storage};
use counter_store::StoreOptions;

use crate::cli::Cli;

/// Log filter by default: a person sees where the server listens.
const DEFAULT_FILTER: &str = "warn,counter_server=info";

/// Time for connections to end when the server stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = Program { name: "counter-server", default_filter: DEFAULT_FILTER, log: cli.log };
    counter_cli::run(program, |stop| run(cli, stop))
}

async fn run(cli: Cli, mut stop: Stop) -> Result<Completion, Failure> {
    let server = Server::start(options(&cli)).await?;
    let stored = if cli.memory { "in memory".into() } else { format!("in {}", cli.data.display()) };
    let address = |address: Option<SocketAddr>| address.map_or_else(|| "none".to_owned(), |a| a.to_string());
    let (resp, http) = (address(server.resp_addr()), address(server.http_addr()));
    let statsd = address(server.statsd_udp_addr());
    tracing::info!("RESP on {resp}, HTTP on {http}, StatsD on {statsd}, counters {stored}");
    stop.wait().await;
    server.shutdown().await?;
    Ok(Completion::Complete)
}

fn options(cli: &Cli) -> ServeOptions {
    ServeOptions {
        storage: if cli.memory {
            Storage::Memory(KeyspaceOptions::default())
        } else {
            Storage::Directory(cli.data.clone(), StoreOptions::default())
        },
        durability: cli.durability.into(),
        resp: Some(cli.resp),
        http: Some(cli.http),
        statsd: StatsdOptions { udp: Some(cli.statsd), tcp: cli.statsd_tcp, unix: cli.statsd_socket.clone() },
        limits: Limits { names: cli.max_names, ..Limits::default() },
        allow_removal_of_all: cli.allow_flushall,
        drain_deadline: DRAIN_DEADLINE,
    }
}
