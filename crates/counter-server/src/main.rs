//! Serves counters from the command line.

mod cli;
mod config;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use counter_cli::{Completion, Failure, LogArguments, Program, Stop};
use counter_server::Server;
use ractor_transport::{Cookie, certificates};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command};
use crate::config::{Config, ConfigError, Setting};

/// Log filter by default: a person sees where the server listens. `ractor_cluster` warns of each connection that ends,
/// and the node knows.
const DEFAULT_FILTER: &str = "warn,counter_server=info,ractor_cluster=error";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let config = match Config::read(arguments, |name| std::env::var_os(name)) {
        Err(ConfigError::Flags(error)) => error.exit(),
        config => config,
    };
    let log = config.as_ref().map_or_else(|_| LogArguments::default(), |config| config.cli.log);
    let threads = config.as_ref().ok().map(|config| config.cli.threads());
    let program = Program { name: "counter-server", default_filter: DEFAULT_FILTER, log, threads };
    counter_cli::run(program, |stop| run(config, stop))
}

async fn run(config: Result<Config, ConfigError>, stop: Stop) -> Result<Completion, Failure> {
    let Config { cli, settings } = config.map_err(Failure::input)?;
    match &cli.command {
        Some(Command::Cookie { file }) => Cookie::generate().write_new(file).map_err(Failure::input)?,
        Some(Command::Certificates { dir, nodes }) => certificates(dir, nodes).map_err(Failure::input)?,
        Some(Command::CheckConfig) => {
            let options = cli.options().map_err(Failure::Input)?;
            options.check().map_err(Failure::Input)?;
            print(&settings).map_err(Failure::output)?;
        }
        None => serve(&cli, stop).await?,
    }
    Ok(Completion::Complete)
}

async fn serve(cli: &Cli, mut stop: Stop) -> Result<(), Failure> {
    let options = cli.options().map_err(Failure::Input)?;
    options.check().map_err(Failure::Input)?;
    let mut hangup = signal(SignalKind::hangup())?;
    let server = tokio::select! {
        server = Server::start(options) => server?,
        // Counters that are being loaded are as they were.
        _ = stop.wait() => return Ok(()),
    };
    let stored = cli.stored();
    let address = |address: Option<SocketAddr>| address.map_or_else(|| "none".to_owned(), |a| a.to_string());
    let (resp, http) = (address(server.resp_addr()), address(server.http_addr()));
    let statsd = address(server.statsd_udp_addr());
    let stream = server.statsd_tcp_addr().map_or_else(String::new, |tcp| format!(", over TCP on {tcp}"));
    let node = server.node_addr().map_or_else(String::new, |node| format!(", other nodes on {node}"));
    tracing::info!("RESP on {resp}, HTTP on {http}, StatsD on {statsd}{stream}{node}, counters {stored}");
    notify(&[NotifyState::Ready]);
    let outcome = loop {
        tokio::select! {
            _ = stop.wait() => break Ok(()),
            alarm = server.alarmed() => break Err(alarm),
            _ = hangup.recv() => reload(&server),
        }
    };
    notify(&[NotifyState::Stopping]);
    let ended = server.shutdown().await;
    Ok(outcome.and(ended)?)
}

fn reload(server: &Server) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager does not learn of the reload"),
    }
    match server.reload() {
        Ok(()) => tracing::info!("tokens and certificate are reloaded"),
        Err(error) => {
            tracing::error!("tokens and certificate stay as they were: {:#}", anyhow::Error::new(error));
        }
    }
    notify(&[NotifyState::Ready]);
}

/// Tells the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told of the server's state");
    }
}

/// Prints settings as lines of TOML, with their origins.
fn print(settings: &[Setting]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for Setting { name, value, origin } in settings {
        writeln!(stdout, "{name} = {value:?} # {origin}")?;
    }
    stdout.flush()
}
