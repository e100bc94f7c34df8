//! What can be asked for on the command line.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use counter_cluster::NodeName;
use counter_cluster::transport::Limits;

/// Nodes of a counting cluster: each counts on its own, and all agree.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0    done; a node that was told to go (SIGTERM, SIGINT) has handed everything over:
       each --peer, and each other node that was ever connected, is there and has it
  1    a node failed, or could not hand everything over, because a peer was absent or too slow
       (it is named on the standard error); a cluster did not hold what it was sent
  2    bad arguments, or a file that cannot be used
  130  ended at once by a second signal, a SIGINT; 143 by a SIGTERM";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a node until SIGTERM or SIGINT.
    Node(NodeArguments),
    /// Starts a cluster on this machine, counts on all nodes, and checks that all hold just what they were sent.
    Cluster(ClusterArguments),
    /// Writes a new cookie, the secret that all nodes share, to a file.
    Cookie {
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Makes a certificate authority, and a certificate for each node: DIR/NODE is what --tls-dir wants.
    Certificates {
        /// Where to; nodes can be added later.
        dir: PathBuf,
        /// What the nodes are called.
        #[arg(required = true)]
        nodes: Vec<NodeName>,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct NodeArguments {
    /// What no other node is called.
    #[arg(long)]
    pub(crate) name: NodeName,

    /// Where to listen for other nodes.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// Another node; best all others, each with --peer.
    #[arg(long = "peer", value_name = "HOST:PORT")]
    pub(crate) peers: Vec<String>,

    /// The secret that all nodes share (see `cookie`).
    #[arg(long, value_name = "FILE")]
    pub(crate) cookie_file: PathBuf,

    /// This node's certificate, its key and the authority's certificate (see `certificates`). Without it, connections are
    /// not encrypted, and only addresses of this machine are allowed.
    #[arg(long, value_name = "DIR")]
    pub(crate) tls_dir: Option<PathBuf>,

    /// Allows other addresses without encryption.
    #[arg(long)]
    pub(crate) allow_plaintext: bool,

    /// Maximum number of connections that other nodes may open to this one.
    #[arg(long, value_name = "N", default_value_t = default_max_connections(), value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_connections: u16,

    /// Content of the standard input: operations (NAME, or NAME, a tab and AMOUNT), one a line, where lines that are
    /// neither or have a longer name than 64 KiB are skipped with a warning; or requests as JSON, one a line of at most
    /// 512 KiB, such as {"add":{"name":"a","amount":5}}, {"value":{"name":"a","fresh_ms":500}}, {"standing":{}} or
    /// {"top":{"n":10}}; the node ends when they do. They are answered in turn, but one with a number, such as
    /// [7,{"standing":{}}], as soon as it is done. When the standard output is closed, requests are no longer
    /// carried out, and the node goes on for its peers until its input ends.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) stdin: StdinFormat,

    /// Counts so many operations that are made up.
    #[arg(long, value_name = "OPERATIONS")]
    pub(crate) load: Option<NonZeroU64>,

    /// Over how many names.
    #[arg(long, value_name = "N", default_value = "1000", requires = "load")]
    pub(crate) load_names: NonZeroU64,

    /// How many in a second [default: as fast as possible].
    #[arg(long, value_name = "N", requires = "load")]
    pub(crate) load_rate: Option<NonZeroU64>,

    /// How often to print how things stand. A line that nobody has read when the next one is due is dropped, and a
    /// closed standard output ends the reports, but not the node.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive_duration)]
    pub(crate) report_every: Duration,

    /// Prints JSON Lines.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ClusterArguments {
    /// How many nodes.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(2..=9))]
    pub(crate) nodes: u8,

    /// How many operations on each node.
    #[arg(long, value_name = "N", default_value = "100000")]
    pub(crate) operations: NonZeroU64,

    /// Over how many names.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) names: u64,

    /// Spreads them over so many seconds [default: as fast as possible; with --chaos 20].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,

    /// Meanwhile cuts one node off, kills one and starts it again, and stops one until the others notice.
    #[arg(long)]
    pub(crate) chaos: bool,

    /// The same operations and the same victims for the same number [default: any].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
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

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("expected a duration above zero".into()),
        other => other.map_err(|error| error.to_string()),
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
