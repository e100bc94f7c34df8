//! Arguments of the command line.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use counter_cli::LogArguments;
use counter_cli::parse::positive_duration;
use counter_keyspace::KeyspaceOptions;
use counter_server::telemetry::Protocol;
use counter_server::{
    Durability, Limits, PeerOptions, SecurityOptions, ServeOptions, StatsdOptions, Storage, TlsFiles,
    TopicOptions,
};
use counter_store::StoreOptions;
use counter_stream::arguments::ConsumerArguments;
use ractor_transport::NodeName;

/// Counters behind the protocols that clients already speak: Redis, HTTP and StatsD.
///
/// Each setting is a flag, a variable such as COUNTER_MAX_NAMES, or a line of a TOML file such as max-names = 1000.
/// Flags override variables, which override the file.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, mut_arg("amount_from", |arg| arg.default_value("value")))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Path of a TOML file with settings.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Directory of the counters.
    #[arg(long, global = true, value_name = "DIR", default_value = "counter-data")]
    pub(crate) data: PathBuf,

    /// Keeps the counters in memory: they end with the server.
    #[arg(long, global = true, conflicts_with_all = ["data", "durability"])]
    pub(crate) memory: bool,

    /// Opens a damaged directory with what is provably consistent, and says what is missing.
    #[arg(long, global = true, conflicts_with = "memory")]
    pub(crate) accept_loss: bool,

    /// Ends the sessions of earlier runs and forgets their records, which are kept otherwise: their clients may retry.
    #[arg(long, global = true, conflicts_with = "memory")]
    pub(crate) end_earlier_sessions: bool,

    /// Guarantee of an answer where a request does not ask for another: memory (applied, and on disk 100 ms later),
    /// fsync (on disk) or replicated=N (on the disks of N other nodes, too).
    #[arg(long, global = true, default_value_t, value_name = "LEVEL")]
    pub(crate) durability: Durability,

    /// Address of the Redis protocol, or off.
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:6380")]
    pub(crate) resp: Endpoint,

    /// Address of HTTP, or off.
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8380")]
    pub(crate) http: Endpoint,

    /// Address of StatsD over UDP, or off.
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8125")]
    pub(crate) statsd: Endpoint,

    /// Address of StatsD over TCP, a line for each metric, or off.
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = "off")]
    pub(crate) statsd_tcp: Endpoint,

    /// Path of a Unix socket for StatsD in datagrams [default: none].
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) statsd_socket: Option<PathBuf>,

    /// Path of a file with a role (read-only or read-write) and a token a line, for AUTH and HTTP bearer tokens.
    /// Without it, every client may do everything. SIGHUP reads it again.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tokens_file: Option<PathBuf>,

    /// Path of a certificate, followed by those of its issuers, as PEM, for TLS of all front ends over TCP. SIGHUP
    /// reads it again.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Path of the private key of the certificate, as PEM.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Front ends that may listen beyond loopback without both TLS and tokens: anybody who reaches them counts.
    #[arg(long, global = true, value_enum, value_name = "FRONT_END", value_delimiter = ',')]
    pub(crate) insecure: Vec<FrontEnd>,

    /// Number of threads that serve clients [default: one less than there are cores, for the system and the disk].
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<Count>,

    /// Maximum number of connections of each front end over TCP.
    #[arg(long, global = true, value_name = "N", default_value = "10000")]
    pub(crate) max_connections: Count,

    /// Maximum length of a request, in bytes.
    #[arg(long, global = true, value_name = "BYTES", default_value = "1048576")]
    pub(crate) max_request_bytes: Count,

    /// Maximum number of commands of a pipeline that are carried out together.
    #[arg(long, global = true, value_name = "N", default_value = "1024")]
    pub(crate) max_pipeline: Count,

    /// Number of counters at which no further one is created, approximately [default: no limit].
    #[arg(long, global = true, value_name = "N")]
    pub(crate) max_names: Option<Count>,

    /// Maximum number of sessions that clients of one address have open.
    #[arg(long, global = true, value_name = "N", default_value = "4096")]
    pub(crate) max_sessions: Count,

    /// Time for a client to read a piece of its replies, before it is disconnected.
    #[arg(long, global = true, value_name = "DURATION", default_value = "1m", value_parser = positive_duration)]
    pub(crate) unread_timeout: Duration,

    /// Time for connections to end when the server stops.
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub(crate) drain_deadline: Duration,

    /// Allows FLUSHALL.
    #[arg(long, global = true)]
    pub(crate) allow_flushall: bool,

    /// Address of another node of a cluster. Preferably all others are given, each with --peer.
    #[arg(long = "peer", global = true, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) peer: Vec<String>,

    /// Address to listen on for other nodes of a cluster [default with --peer: any free port of 127.0.0.1].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Name of this node, unique in its cluster.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) name: Option<NodeName>,

    /// Path of the cookie file, the secret that all nodes of a cluster share (`counter-server cookie` makes one).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cookie_file: Option<PathBuf>,

    /// Directory of this node's certificate, its key and the authority's certificate (`counter-server certificates`
    /// makes them). Without it, connections to other nodes are not encrypted, and only loopback addresses are allowed.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) tls_dir: Option<PathBuf>,

    /// Allows addresses of nodes other than loopback without encryption.
    #[arg(long, global = true)]
    pub(crate) allow_plaintext: bool,

    /// Maximum number of connections that other nodes may open to this one.
    #[arg(long, global = true, value_name = "N", default_value = "64")]
    pub(crate) max_peer_connections: Count,

    /// Starts with data that other nodes know a later state of, such as a backup.
    #[arg(long, global = true)]
    pub(crate) accept_rollback: bool,

    /// Counts a topic of Kafka, as a member of a consumer group: increments are written to its log, and values are read
    /// as far as the log is counted here.
    #[arg(long, global = true, conflicts_with = "memory")]
    pub(crate) kafka: bool,

    #[command(flatten)]
    pub(crate) source: ConsumerArguments,

    /// Time for an increment to be in the log and to be counted, before its answer says that it is not.
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = positive_duration)]
    pub(crate) log_deadline: Duration,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

impl Cli {
    /// Returns the number of threads that serve clients.
    pub(crate) fn threads(&self) -> Count {
        let others = || Count::new(available_parallelism().map_or(1, Count::get) - 1);
        self.threads.or_else(others).unwrap_or(Count::MIN)
    }

    /// Returns the options of the server.
    ///
    /// # Errors
    /// If there is only one of a certificate and a key, or something is missing that a node needs.
    pub(crate) fn options(&self) -> anyhow::Result<ServeOptions> {
        let tls = match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => anyhow::bail!("TLS needs both --tls-cert and --tls-key"),
        };
        let peers = self.peers()?;
        if matches!(self.durability, Durability::Replicated(_)) && peers.is_none() {
            anyhow::bail!("--durability {} needs other nodes: give them with --peer", self.durability);
        }
        let insecure = self.insecure.iter().map(|front_end| Protocol::from(*front_end)).collect();
        Ok(ServeOptions {
            storage: if self.kafka {
                Storage::Topic(Box::new(self.topic()?))
            } else if self.memory {
                // More shards than threads would only mean more messages for the same pipeline.
                Storage::Memory(KeyspaceOptions { shards: self.threads(), ..KeyspaceOptions::default() })
            } else {
                Storage::Directory(self.data.clone(), self.store())
            },
            peers,
            durability: self.durability,
            resp: self.resp.address(),
            http: self.http.address(),
            statsd: StatsdOptions {
                udp: self.statsd.address(),
                tcp: self.statsd_tcp.address(),
                unix: self.statsd_socket.clone(),
            },
            limits: Limits {
                connections: self.max_connections.into(),
                request_bytes: self.max_request_bytes.into(),
                pipeline: self.max_pipeline.into(),
                names: self.max_names,
                sessions: self.max_sessions.into(),
                unread_timeout: self.unread_timeout,
            },
            end_earlier_sessions: self.end_earlier_sessions,
            allow_removal_of_all: self.allow_flushall,
            security: SecurityOptions { tokens: self.tokens_file.clone(), tls, insecure },
            drain_deadline: self.drain_deadline,
        })
    }

    fn store(&self) -> StoreOptions {
        StoreOptions { accept_loss: self.accept_loss, ..StoreOptions::default() }
    }

    /// Returns which topic the server counts, and how.
    fn topic(&self) -> anyhow::Result<TopicOptions> {
        let meaningless = [
            ("--durability", self.durability != Durability::Memory),
            ("--end-earlier-sessions", self.end_earlier_sessions),
            ("--max-names", self.max_names.is_some()),
            ("--allow-flushall", self.allow_flushall),
            ("--accept-rollback", self.accept_rollback),
        ];
        if let Some((flag, _)) = meaningless.iter().find(|(_, is_given)| *is_given) {
            anyhow::bail!("{flag} has no meaning with --kafka");
        }
        Ok(TopicOptions {
            name: self.name.clone().context("a member of a group needs --name")?,
            consumer: self.source.options(self.data.clone()).context("--kafka cannot count a topic")?,
            store: self.store(),
            deadline: self.log_deadline,
        })
    }

    /// Returns where counters are, in words.
    pub(crate) fn stored(&self) -> String {
        let dir = self.data.display();
        match (&self.source.topic.topic, self.memory) {
            (Some(topic), _) if self.kafka => format!("in {dir} of the topic {topic}"),
            (_, true) => "in memory".into(),
            (_, false) => format!("in {dir}"),
        }
    }

    /// Returns how the server takes part in a cluster, if it does.
    fn peers(&self) -> anyhow::Result<Option<PeerOptions>> {
        if self.listen.is_none() && self.peer.is_empty() {
            return Ok(None);
        }
        Ok(Some(PeerOptions {
            name: self.name.clone().context("a node of a cluster needs --name")?,
            listen: self.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            peers: self.peer.clone(),
            cookie_file: self.cookie_file.clone().context("a node of a cluster needs --cookie-file")?,
            tls_dir: self.tls_dir.clone(),
            allow_plaintext: self.allow_plaintext,
            max_connections: self.max_peer_connections.into(),
            accept_rollback: self.accept_rollback,
        }))
    }
}

/// Command instead of serving counters.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks the settings and prints them, with where each comes from.
    CheckConfig,
    /// Writes a new cookie, the secret that all nodes of a cluster share, to a file.
    Cookie {
        /// Path of the file, which must not exist.
        file: PathBuf,
    },
    /// Makes a certificate authority for the nodes of a cluster, and for each a directory DIR/NODE to be given to it
    /// with --tls-dir.
    Certificates {
        /// Path of the directory; nodes can be added later.
        dir: PathBuf,
        /// Names of the nodes.
        #[arg(required = true)]
        nodes: Vec<NodeName>,
    },
}

const EXIT_CODES: &str = "Exit codes:
  0    stopped by SIGTERM or SIGINT, with everything on disk; a node of a cluster has handed everything over:
       each --peer, and each other node that was ever connected, is up and has it
  1    the server failed, or could not make everything durable or hand everything over, because a peer was
       absent or too slow; or the data was rolled back
  2    bad settings
  130  ended at once by a second signal, a SIGINT; 143 by a SIGTERM";

/// Number above zero.
pub(crate) type Count = NonZero<usize>;

/// Address of a front end, if it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(Option<SocketAddr>);

impl Endpoint {
    /// Returns the address.
    pub(crate) const fn address(self) -> Option<SocketAddr> {
        self.0
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|address| Self(Some(address)))
                .map_err(|_| "expected an address with a port, or `off`"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Front end, as it is named in settings.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum FrontEnd {
    Resp,
    Http,
    StatsD,
}

impl From<FrontEnd> for Protocol {
    fn from(front_end: FrontEnd) -> Self {
        match front_end {
            FrontEnd::Resp => Self::Resp,
            FrontEnd::Http => Self::Http,
            FrontEnd::StatsD => Self::StatsD,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn limits_are_those_of_the_library_by_default() {
        let (limits, default) =
            (Cli::parse_from(["counter-server"]).options().unwrap().limits, Limits::default());
        assert_eq!(format!("{limits:?}"), format!("{default:?}"));
    }

    #[test]
    fn connections_of_nodes_are_those_of_the_library_by_default() {
        let connections = Cli::parse_from(["counter-server"]).max_peer_connections;
        assert_eq!(connections.get(), ractor_transport::Limits::default().connections);
    }

    #[test]
    fn counters_in_memory_have_a_shard_for_each_thread() {
        let options = Cli::parse_from(["counter-server", "--memory", "--threads", "3"]).options().unwrap();
        let Storage::Memory(keyspace) = options.storage else { panic!("they are in memory") };
        assert_eq!(keyspace.shards.get(), 3);
    }

    #[test]
    fn a_node_needs_a_name_and_a_cookie_and_replication_needs_a_node() {
        let options = |flags: &[&str]| {
            let flags = ["counter-server"].iter().chain(flags).copied();
            Cli::parse_from(flags).options().map(|options| options.peers.map(|peers| peers.peers))
        };
        let node = ["--peer", "b:1", "--peer", "c:1", "--name", "a", "--cookie-file", "f"];
        assert_eq!(options(&node).unwrap(), Some(vec!["b:1".to_owned(), "c:1".to_owned()]));
        assert_eq!(options(&["--name", "a"]).unwrap(), None);
        for incomplete in [&node[..4], &node[..6], &["--durability", "replicated=1"]] {
            assert!(options(incomplete).is_err(), "{incomplete:?}");
        }
    }

    #[test]
    fn a_topic_needs_brokers_a_group_and_a_name_and_nothing_that_has_no_meaning() {
        let topic = |flags: &[&str]| {
            let all = ["counter-server", "--kafka"].iter().chain(flags).copied();
            Cli::parse_from(all).options().map(|options| match options.storage {
                Storage::Topic(topic) => topic.consumer.mapping.to_string(),
                Storage::Memory(_) | Storage::Directory(..) => panic!("it is a topic"),
            })
        };
        let flags = ["--name", "a", "--brokers", "k:1", "--topic", "t", "--group", "g"];
        // So that what is written counts what it is meant to.
        assert_eq!(topic(&flags).unwrap(), "name=key amount=value");
        for missing in (0..flags.len()).step_by(2) {
            let others: Vec<_> = [&flags[..missing], &flags[missing + 2..]].concat();
            assert!(topic(&others).is_err(), "{others:?}");
        }
        let meaningless = [&flags[..], &["--max-names", "7"]].concat();
        assert_eq!(topic(&meaningless).unwrap_err().to_string(), "--max-names has no meaning with --kafka");
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
