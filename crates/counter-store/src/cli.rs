//! Arguments of the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use counter_cli::LogArguments;

/// Checks, dumps and loads a store of counters that nobody has open.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reads and verifies everything, and prints what there is.
    Check {
        /// Directory of the store.
        dir: PathBuf,
        /// Settles for what is provably consistent, and says what is missing.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Prints all counters, a JSON object a line. Those that other replicas have counted name their replica.
    Dump {
        /// Adds up what the store and other replicas have counted. This can be loaded into a new store.
        #[arg(long)]
        sum: bool,
        /// Directory of the store.
        dir: PathBuf,
        /// Settles for what is provably consistent, and says what is missing.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Creates a store from the lines that a dump has printed, on standard input: from all of them, or none.
    Load {
        /// Directory to be created.
        dir: PathBuf,
    },
}

const EXIT_CODES: &str = "Exit codes:
  0    done
  1    the store is damaged, or the disk failed
  2    bad arguments or input, no store in the directory, or one that is in use
  130  interrupted by SIGINT; 143 by SIGTERM";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
