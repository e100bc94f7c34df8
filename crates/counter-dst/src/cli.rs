//! Arguments of the command line.

use clap::Parser;
use counter_cli::LogArguments;
use counter_cli::parse::whole_number;

/// Simulates clusters by seed, in one thread each and in simulated time, through faults of the network, the disks, the
/// clocks and the nodes, and checks that they keep what they promise.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Number of seeds to simulate.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = whole_number(1..=u64::MAX))]
    pub(crate) seeds: u64,

    /// First of these seeds [default: random].
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,

    /// Time in minutes after which no further seed is begun.
    #[arg(long, value_name = "M", value_parser = whole_number(1..=100_000_u64))]
    pub(crate) minutes: Option<u64>,

    /// Simulates this seed only, and prints its schedule and the end of its trace.
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "minutes"])]
    pub(crate) seed: Option<u64>,

    /// Of the seed's schedule, only these events.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "seed")]
    pub(crate) only: Vec<usize>,

    /// Prints the whole trace.
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,

    /// Plants this bug, or all bugs one after the other, and simulates seeds until it is found.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["seed", "minutes"])]
    pub(crate) mutation: Option<String>,

    /// Number of nodes [default: the seed decides].
    #[arg(long, value_name = "N", value_parser = whole_number(2..=9_usize))]
    pub(crate) nodes: Option<usize>,

    /// Number of simulations at the same time [default: one for each core].
    #[arg(long, value_name = "N", value_parser = whole_number(1..=1024_usize))]
    pub(crate) jobs: Option<usize>,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

const EXIT_CODES: &str = "Exit codes:
  0    nothing is broken, and each kind of fault has had an effect
  1    a promise is broken: the seed, a smaller schedule and the end of its trace are printed
  2    bad arguments
  130  interrupted by SIGINT; 143 by SIGTERM";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
