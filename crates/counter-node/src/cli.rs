//! Arguments of the command line.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use counter_cli::LogArguments;
use counter_cli::parse::{positive_duration, whole_number};
use counter_cluster::Durability;
use ractor_transport::{Limits, NodeName};

/// Nodes of a counting cluster: each counts on its own, and all agree.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

const EXIT_CODES: &str = "Exit codes:
  0    done; a node that SIGTERM or SIGINT has stopped has handed everything over:
       each --peer, and each other node that was ever connected, is up and has it
  1    the node failed, or could not hand everything over, because a peer was absent or too slow
       (it is named on standard error); its data is damaged, or was rolled back
  2    bad arguments, or a file that cannot be used
  130  ended at once by a second signal, a SIGINT; 143 by a SIGTERM

To start a whole cluster on this machine and see it survive faults: counter-chaos.";

/// Range of numbers of operations and names.
const POSITIVE: RangeInclusive<NonZeroU64> = NonZeroU64::MIN..=NonZeroU64::MAX;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a node until SIGTERM or SIGINT.
    Node(NodeArguments),
    /// Writes a new cookie, the secret that all nodes share, to a file.
    Cookie {
        /// Path of the file, which must not exist.
        file: PathBuf,
    },
    /// Makes a certificate authority, and for each node a directory DIR/NODE to be given to it with --tls-dir.
    Certificates {
        /// Path of the directory; nodes can be added later.
        dir: PathBuf,
        /// Names of the nodes.
        #[arg(required = true)]
        nodes: Vec<NodeName>,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct NodeArguments {
    /// Unique name of this node.
    #[arg(long)]
    pub(crate) name: NodeName,

    /// Address to listen on for other nodes.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// Address of another node; preferably all others are given, each with --peer.
    #[arg(long = "peer", value_name = "HOST:PORT")]
    pub(crate) peers: Vec<String>,

    /// Path of the cookie file, the secret that all nodes share (see `cookie`).
    #[arg(long, value_name = "FILE")]
    pub(crate) cookie_file: PathBuf,

    /// Directory of this node's certificate, its key and the authority's certificate (see `certificates`). Without it,
    /// connections are not encrypted, and only loopback addresses are allowed.
    #[arg(long, value_name = "DIR")]
    pub(crate) tls_dir: Option<PathBuf>,

    /// Allows addresses other than loopback without encryption.
    #[arg(long)]
    pub(crate) allow_plaintext: bool,

    /// Directory that keeps what this node and others have counted, which is created if necessary. Without it, a node
    /// that starts again has what the others hold.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Guarantee of the answer to an operation on standard input: memory (it is counted), fsync (it is on this
    /// node's disk) or replicated=N (it is on the disks of N other nodes, too).
    #[arg(long, value_name = "LEVEL", default_value_t)]
    pub(crate) durability: Durability,

    /// Starts with what is provably consistent if something of the data is missing.
    #[arg(long, requires = "data")]
    pub(crate) accept_loss: bool,

    /// Starts with data that other nodes know a later state of, such as a backup.
    #[arg(long, requires = "data")]
    pub(crate) accept_rollback: bool,

    /// Maximum number of connections that other nodes may open to this one.
    #[arg(long, value_name = "N", default_value_t = default_max_connections(), value_parser = whole_number(1..=u16::MAX))]
    pub(crate) max_connections: u16,

    /// Format of standard input: operations (NAME, or NAME, a tab and AMOUNT), one a line, where lines that are
    /// neither or have a longer name than 64 KiB are skipped with a warning; or requests as JSON, one a line of at most
    /// 512 KiB, such as {"add":{"name":"a","amount":5}}, {"value":{"name":"a","fresh_ms":500}}, {"status":{}} or
    /// {"top":{"n":10}}; the node ends when they do. They are answered in turn, but one with a number, such as
    /// [7,{"status":{}}], as soon as it is done. When the standard output is closed, requests are no longer
    /// carried out, and the node goes on for its peers until its input ends.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) stdin: StdinFormat,

    /// Number of generated operations to count besides [default: none].
    #[arg(long, value_name = "OPERATIONS", value_parser = whole_number(POSITIVE))]
    pub(crate) load: Option<NonZeroU64>,

    /// Number of names of generated operations.
    #[arg(long, value_name = "N", default_value = "1000", requires = "load", value_parser = whole_number(POSITIVE))]
    pub(crate) load_names: NonZeroU64,

    /// Generated operations per second [default: as fast as possible].
    #[arg(long, value_name = "N", requires = "load", value_parser = whole_number(POSITIVE))]
    pub(crate) load_rate: Option<NonZeroU64>,

    /// Interval between two reports of the cluster's status. A report that nobody has read when the next one is due is
    /// dropped, and a closed standard output ends the reports, but not the node.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive_duration)]
    pub(crate) report_every: Duration,

    /// Prints reports as JSON Lines.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum StdinFormat {
    #[default]
    Operations,
    Requests,
}

fn default_max_connections() -> u16 {
    u16::try_from(Limits::default().connections).unwrap_or(u16::MAX)
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
