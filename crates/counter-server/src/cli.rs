//! Arguments of the command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use counter_cli::LogArguments;
use counter_store::Durability;

/// Counters behind the protocols that clients already speak: Redis, HTTP and StatsD.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Directory of the counters.
    #[arg(long, value_name = "DIR", default_value = "counter-data")]
    pub(crate) data: PathBuf,

    /// Keeps the counters in memory: they end with the server.
    #[arg(long, conflicts_with_all = ["data", "durability"])]
    pub(crate) memory: bool,

    /// Guarantee of an answer where a request does not ask for another.
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) durability: DurabilityLevel,

    /// Address of the Redis protocol.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:6380")]
    pub(crate) resp: SocketAddr,

    /// Address of HTTP.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8380")]
    pub(crate) http: SocketAddr,

    /// Address of StatsD over UDP.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8125")]
    pub(crate) statsd: SocketAddr,

    /// Address of StatsD over TCP, a line for each metric [default: off].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) statsd_tcp: Option<SocketAddr>,

    /// Path of a Unix socket for StatsD in datagrams [default: off].
    #[arg(long, value_name = "PATH")]
    pub(crate) statsd_socket: Option<PathBuf>,

    /// Number of counters at which no further one is created, approximately [default: no limit].
    #[arg(long, value_name = "N")]
    pub(crate) max_names: Option<NonZeroUsize>,

    /// Allows FLUSHALL.
    #[arg(long)]
    pub(crate) allow_flushall: bool,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

const EXIT_CODES: &str = "Exit codes:
  0    stopped by SIGTERM or SIGINT, with everything on disk
  1    the server failed, or could not make everything durable
  2    bad arguments
  130  ended at once by a second signal, a SIGINT; 143 by a SIGTERM";

/// Guarantee of an answer.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum DurabilityLevel {
    /// Applied, and on disk 100 ms later.
    #[default]
    Memory,
    /// On disk.
    Fsync,
}

impl From<DurabilityLevel> for Durability {
    fn from(level: DurabilityLevel) -> Self {
        match level {
            DurabilityLevel::Memory => Self::Memory,
            DurabilityLevel::Fsync => Self::Fsync,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
