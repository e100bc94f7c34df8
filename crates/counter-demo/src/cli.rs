//! Arguments of the command line.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use counter_cli::LogArguments;
use counter_cli::parse::{duration, positive_duration, whole_number};
use counter_keyspace::Order;

/// Maximum number of counters that are actors: one takes 7 to 10 KB, so these take about 1 GB.
pub(crate) const MAX_COUNTERS: usize = 100_000;

/// Range of numbers of fields and names.
const POSITIVE: RangeInclusive<NonZeroUsize> = NonZeroUsize::MIN..=NonZeroUsize::MAX;

/// Exact counting with actors.
///
/// Without a command it simulates: clients bump counters, an aggregator collects from them, and the final
/// statistics are checked against what the clients sent.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) simulate: SimulateArguments,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

impl Cli {
    /// Returns true if counters are made to crash.
    pub(crate) const fn crashes(&self) -> bool {
        let simulate = match &self.command {
            Some(Command::Simulate(arguments)) => arguments,
            Some(Command::Count(_) | Command::Completions { .. }) | None => &self.simulate,
        };
        simulate.crash_every.is_some()
    }
}

const AFTER_HELP: &str = "To count on several machines: counter-server (cargo run -p counter-server).

Exit codes:
  0    done
  1    the result is not exact, or could not be written
  2    bad arguments or bad input
  130  interrupted by SIGINT: what was counted so far is printed
  143  ended by SIGTERM: what was counted so far is printed";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs clients that bump counters, and checks the result (the default command).
    Simulate(SimulateArguments),
    /// Counts lines by name, like `sort | uniq -c` without the sort.
    Count(CountArguments),
    /// Prints a completion script for a shell.
    Completions {
        /// Shell to complete in.
        shell: Shell,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SimulateArguments {
    /// Number of counters; the amounts of counter number k are k.
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole_number(1..=MAX_COUNTERS))]
    pub(crate) counters: usize,

    /// Number of clients that send at the same time.
    #[arg(long, value_name = "N", default_value = "4", value_parser = whole_number(1..=MAX_COUNTERS))]
    pub(crate) clients: usize,

    /// Number of operations of each client; every third is a decrement, beginning with the first.
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) operations: u32,

    /// Pause of a client between two operations, such as 10ms; 0s for none.
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = duration)]
    pub(crate) delay: Duration,

    /// Time from one collection to the next, more than zero.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = positive_duration)]
    pub(crate) collect_every: Duration,

    /// Runs on a keyspace with N names instead, which may be millions: counters are entries of a table then.
    #[arg(long, value_name = "N", conflicts_with_all = ["counters", "crash_every"], value_parser = whole_number(NonZeroU32::MIN..=NonZeroU32::MAX))]
    pub(crate) keyspace: Option<NonZeroU32>,

    /// Interval at which a random counter is made to crash, by a panic, an error or a kill.
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    pub(crate) crash_every: Option<Duration>,

    /// Output format: a table, or JSON Lines (one object per collection, then the result).
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: SimulateFormat,
}

impl SimulateArguments {
    /// Number of counters, be they actors or names.
    pub(crate) fn counters(&self) -> usize {
        self.keyspace.map_or(self.counters, |names| names.get() as usize)
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CountArguments {
    /// Files to read; `-` or none for the standard input.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Takes the last tab-separated field of a line for a signed amount, and the rest for the name.
    #[arg(long, conflicts_with_all = ["words", "field"])]
    pub(crate) amounts: bool,

    /// Counts words: lines are split at white space.
    #[arg(long, conflicts_with = "field")]
    pub(crate) words: bool,

    /// Counts the Nth field of each line, from 1; lines with fewer fields count as the empty name.
    #[arg(long, value_name = "N", value_parser = whole_number(POSITIVE))]
    pub(crate) field: Option<NonZeroUsize>,

    /// Byte that separates fields.
    #[arg(long, value_name = "C", default_value = "\t", requires = "field", value_parser = one_byte)]
    pub(crate) delimiter: u8,

    /// Folds names to lower case, ASCII letters only.
    #[arg(long)]
    pub(crate) ignore_case: bool,

    /// Shows the largest values so far while counting, on a terminal.
    #[arg(long)]
    pub(crate) live: bool,

    /// Number of names to print, those with the largest values first.
    #[arg(long, value_name = "N", default_value = "20", conflicts_with = "all", value_parser = whole_number(POSITIVE))]
    pub(crate) top: NonZeroUsize,

    /// Prints every name.
    #[arg(long)]
    pub(crate) all: bool,

    /// Order of the names that are printed: by value, the largest first, by name, or none, which is the fastest.
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    pub(crate) sort: Sort,

    /// Prints one line on standard error at the end: bytes, lines and names counted, seconds, MB/s and peak memory.
    #[arg(long)]
    pub(crate) stats: bool,

    /// Output format: `tsv` is VALUE, OPERATIONS and NAME as it came in, tab-separated [default: table on a
    /// terminal, else tsv]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<CountFormat>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum SimulateFormat {
    #[default]
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    #[default]
    Value,
    Name,
    None,
}

impl Sort {
    /// Order of all names, if they are to be in one.
    pub(crate) const fn order(self) -> Option<Order> {
        match self {
            Self::Value => Some(Order::Value),
            Self::Name => Some(Order::Name),
            Self::None => None,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CountFormat {
    Table,
    Tsv,
    Json,
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ if text == "\\t" => Ok(b'\t'),
        _ => Err("expected one byte, or \\t for a tab".into()),
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
