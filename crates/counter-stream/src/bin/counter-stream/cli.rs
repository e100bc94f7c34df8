//! Arguments of the command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, Parser, Subcommand};
use counter_cli::LogArguments;
use counter_cli::parse::positive_duration;
use counter_stream::arguments::{ConsumerArguments, TopicArguments};
use counter_stream::producer::DEFAULT_NAMES;
use ractor_transport::NodeName;

/// Counts that follow a Kafka topic exactly once.
///
/// Without a command, starts brokers and three members on this machine, kills one, freezes another, and checks that
/// every record was counted once.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

const EXIT_CODES: &str = "Exit codes:
  0    done; a member that SIGTERM or SIGINT has stopped has made durable what it counted
  1    it failed, records were refused, or counts are not exact
  2    bad arguments or input
  130  stopped by SIGINT before all was done, or ended at once by a second one; 143 by SIGTERM";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Counts a topic as a member of a consumer group, until SIGTERM or SIGINT. After SIGHUP, it takes partitions that
    /// have stopped over again.
    Member(Box<MemberArguments>),
    /// Sends increments from standard input: a line is a name, or a name, a tab and an amount.
    Produce(ProduceArguments),
    /// Kills, freezes and stops three members in random order, and checks that every record was counted once.
    Chaos(ChaosArguments),
    /// Runs brokers for members on this machine, as told by lines of standard input, until it ends.
    #[command(hide = true)]
    Brokers(BrokersArguments),
    /// Writes a new cookie, the secret that all members share, to a file.
    Cookie {
        /// Path of the file, which must not exist.
        file: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
#[command(mut_args(required))]
pub(crate) struct MemberArguments {
    #[command(flatten)]
    pub(crate) source: ConsumerArguments,
    /// Directory of what this member has counted.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Name of this member, unique in its group.
    #[arg(long)]
    pub(crate) name: NodeName,
    #[command(flatten)]
    pub(crate) others: OtherMembers,
    /// Goes on with what is provably consistent if part of the data is missing.
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// Interval between reports on standard output.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive_duration)]
    pub(crate) report_every: Duration,
    /// Writes JSON lines, and answers each name that comes as a line of standard input with its count.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct OtherMembers {
    /// Path of the cookie file, the secret that all members share. Without it, this member neither listens nor
    /// connects:
    /// it is alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) cookie_file: Option<PathBuf>,
    /// Address to listen on for other members.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0", requires = "cookie_file")]
    pub(crate) listen: SocketAddr,
    /// Address of another member; all others are given, each with --peer.
    #[arg(long = "peer", value_name = "HOST:PORT", requires = "cookie_file")]
    pub(crate) peers: Vec<String>,
    /// Directory of this member's certificate, its key and the authority's certificate. Without it, connections are not
    /// encrypted, and only loopback addresses are allowed.
    #[arg(long, value_name = "DIR", requires = "cookie_file")]
    pub(crate) tls_dir: Option<PathBuf>,
    /// Allows addresses other than loopback without encryption.
    #[arg(long, requires = "cookie_file")]
    pub(crate) allow_plaintext: bool,
}

#[derive(Args, Clone, Debug)]
#[command(mut_args(required))]
pub(crate) struct ProduceArguments {
    #[command(flatten)]
    pub(crate) topic: TopicArguments,
    /// Maximum number of different names that wait to be sent.
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_NAMES)]
    pub(crate) max_names: NonZeroUsize,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct BrokersArguments {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ChaosArguments {
    /// Brokers, separated by commas. Without them, brokers start on this machine, and become slow now
    /// and then.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) brokers: Option<String>,
    /// Topic, which has to exist and to be empty where brokers are given.
    #[arg(long, default_value = "visits")]
    pub(crate) topic: String,
    /// Number of its partitions: a multiple of 3, the number of members.
    #[arg(long, value_name = "NUMBER", default_value_t = 6)]
    pub(crate) partitions: usize,
    /// Time without a sign of life after which the group gives the partitions of a member to others.
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = positive_duration)]
    pub(crate) session_timeout: Duration,
    /// Number of faults.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub(crate) faults: u32,
    /// Number of records that are produced at least.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) records: u64,
    /// Lets members leave only while their group is at rest: where the leader of a group leaves during a rebalance,
    /// tansu never elects another one.
    #[arg(long)]
    pub(crate) leave_at_rest: bool,
    /// Seed of their order [default: a random one].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// Requires what a server can do without.
fn required(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "brokers" | "topic" | "group" => argument.global(false).required(true),
        _ => argument,
    }
}
