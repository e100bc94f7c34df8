//! Arguments of the command line.

use std::path::PathBuf;

use clap::Parser;
use counter_cli::LogArguments;
use counter_cli::parse::whole_number;

/// Starts a cluster of counter-server processes on this machine, counts on all nodes through a partition, a kill and a
/// pause, and checks that all nodes hold exactly what they were sent.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Number of nodes.
    #[arg(long, value_name = "N", default_value = "3", value_parser = whole_number(2..=9_usize))]
    pub(crate) nodes: usize,

    /// Number of operations on each node.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = whole_number(1..=u64::MAX))]
    pub(crate) operations: u64,

    /// Number of names.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = whole_number(1..=1_000_000_u64))]
    pub(crate) names: u64,

    /// Time in seconds over which the operations are spread [default: 20; with --no-faults as fast as possible].
    #[arg(long, value_name = "SECONDS", value_parser = whole_number(1..=86_400_u64))]
    pub(crate) seconds: Option<u64>,

    /// Only counts and checks: no node is cut off, killed or paused.
    #[arg(long)]
    pub(crate) no_faults: bool,

    /// Seed of the operations and of the nodes that faults happen to [default: random].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Path of the executable counter-server [default: the one beside counter-chaos].
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

const EXIT_CODES: &str = "Exit codes:
  0    all nodes hold exactly what they were sent
  1    they do not, or a node failed
  2    bad arguments, or counter-server was not found
  130  interrupted by SIGINT; 143 by SIGTERM: the nodes are killed";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
