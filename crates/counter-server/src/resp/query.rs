//! Commands that are not about single counters, or that wait: each is a barrier in its pipeline.

use std::time::Duration;

use counter_keyspace::{Outcome, PageToken, SessionId};
use counter_protocol::{AggregatedStats, Count, CounterName};
use tokio::time::{Instant, timeout_at};

use super::batch::Batch;
use super::encode::Reply;
use super::{errors, glob, topic};
use crate::counters::{
    Counters, CountersError, Durability, Positions, SessionToken, TopicCounters, TopicStatus,
};

/// Maximum number of counters that one `SCAN` looks at.
const SCAN_COUNT: usize = 1000;

/// Maximum number of counters that `COUNT.TOP` returns.
const TOP: usize = 10_000;

/// Maximum time that a `WAIT` takes, also without a timeout.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60 * 24);

/// Command that is carried out by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    Scan(ScanQuery),
    Size,
    RemoveAll,
    /// Waits until other nodes have received what this connection has written.
    WaitReceived {
        copies: i64,
        timeout_ms: u64,
    },
    /// Waits until what this connection has written is on disk.
    WaitCommitted {
        on_disk: bool,
        copies: i64,
        timeout_ms: u64,
    },
    Info,
    OpenSession,
    CloseSession(SessionId),
    AddInSession {
        session: SessionId,
        sequence: u64,
        batch: Batch,
    },
    Top(usize),
    Stats,
    Lag,
    /// Positions in the log of what this connection has written.
    Written,
    /// Waits until the log is counted up to positions.
    Await {
        positions: Positions,
        timeout_ms: u64,
    },
}

/// Arguments of `SCAN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanQuery {
    pub(crate) cursor: u64,
    pub(crate) pattern: Option<Vec<u8>>,
    pub(crate) count: usize,
    /// A type was asked for that counters are not of.
    pub(crate) is_of_other_type: bool,
}

impl Default for ScanQuery {
    fn default() -> Self {
        // The page size of Redis.
        Self { cursor: 0, pattern: None, count: 10, is_of_other_type: false }
    }
}

impl Query {
    /// Returns true if the query is refused while commands are being queued.
    pub(crate) const fn is_refused_in_transactions(&self) -> bool {
        matches!(
            self,
            Self::OpenSession | Self::CloseSession(_) | Self::AddInSession { .. } | Self::Await { .. }
        )
    }

    /// Returns true if the query may take as long as it says.
    pub(crate) const fn waits(&self) -> bool {
        matches!(self, Self::WaitReceived { .. } | Self::WaitCommitted { .. } | Self::Await { .. })
    }

    /// Returns the query as a transaction carries it out: without waiting.
    pub(crate) fn without_waiting(self) -> Self {
        match self {
            Self::WaitReceived { .. } => Self::WaitReceived { copies: 0, timeout_ms: 0 },
            Self::WaitCommitted { on_disk, .. } => Self::WaitCommitted { on_disk, copies: 0, timeout_ms: 1 },
            other => other,
        }
    }

    /// Carries the query out for a client at this address.
    pub(crate) async fn answer(&self, counters: &Counters, client: &str) -> Reply {
        self.try_answer(counters, client).await.unwrap_or_else(|error| errors::reply(&error))
    }

    /// Returns the reply while there are no counters yet.
    pub(crate) fn answer_while_loading(&self) -> Reply {
        match self {
            Self::Info => info(None, false, 0, None),
            _ => errors::LOADING,
        }
    }

    async fn try_answer(&self, counters: &Counters, client: &str) -> Result<Reply, CountersError> {
        let durability = counters.default_durability();
        let reply = match self {
            Self::Scan(scan) => scan.answer(counters).await?,
            Self::Size => integer(counters.stats().await?.num_counters),
            Self::Top(n) => {
                let top = counters.top((*n).min(TOP)).await?;
                let pair = |(name, count): (CounterName, Count)| {
                    Reply::Array(vec![Reply::bulk(name.as_bytes()), Reply::Integer(count.value)])
                };
                Reply::Array(top.into_iter().map(pair).collect())
            }
            Self::Stats => stats(counters).await?,
            Self::Lag => topic::lag(&topic::of(counters)?.status()),
            Self::Written => Reply::bulk(topic::of(counters)?.written().to_string()),
            Self::Await { positions, timeout_ms } => {
                let wait = end_of(*timeout_ms).saturating_duration_since(Instant::now());
                topic::of(counters)?.reach(positions, Some(wait)).await?;
                Reply::OK
            }
            Self::Info => {
                let others = counters.cluster_status().await?.map_or_else(Vec::new, |status| status.peers);
                let connected = others.iter().filter(|other| other.is_up).count();
                let topic = counters.topic().map(TopicCounters::status);
                info(Some(counters.stats().await?), counters.is_durable(), connected, topic.as_ref())
            }
            Self::RemoveAll => {
                counters.remove_all().await?;
                Reply::OK
            }
            Self::WaitReceived { copies, timeout_ms } => {
                let received = counters.received_until(number(*copies), end_of(*timeout_ms)).await?;
                return Ok(Reply::Integer(received.try_into().unwrap_or(i64::MAX)));
            }
            Self::WaitCommitted { on_disk, copies, timeout_ms } => {
                return wait_committed(counters, *on_disk, *copies, *timeout_ms).await;
            }
            Self::OpenSession => {
                return Ok(Reply::bulk(SessionToken(counters.open_session(client)?).to_string()));
            }
            Self::CloseSession(id) => {
                counters.close_session(*id).await?;
                return Ok(Reply::OK);
            }
            Self::AddInSession { session, sequence, batch } => {
                let operations = batch.range(0..batch.len());
                let outcomes = counters.apply_in_session(*session, *sequence, operations, durability).await?;
                return Ok(Reply::Array(outcomes.into_iter().map(added).collect()));
            }
        };
        // What was read is as durable as what single counters are read at.
        if durability != Durability::Memory {
            counters.flush(durability).await?;
        }
        Ok(reply)
    }
}

impl ScanQuery {
    async fn answer(&self, counters: &Counters) -> Result<Reply, CountersError> {
        let matches = |name: &&[u8]| {
            !self.is_of_other_type && self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name))
        };
        let (mut left, mut next) = (self.count.min(SCAN_COUNT), Some(PageToken::from_cursor(self.cursor)));
        let mut names = Vec::new();
        // A page ends with its shard, so that a few counters on many shards would take many pages.
        while let Some(token) = next.filter(|_| left > 0) {
            let (page, following) = counters.scan_up_to(token, left).await?;
            left -= page.len();
            names.extend(page.iter().map(|(name, _)| name.as_bytes()).filter(matches).map(Reply::bulk));
            next = following;
        }
        let cursor = next.map_or(0, PageToken::to_cursor).to_string();
        Ok(Reply::Array(vec![Reply::bulk(cursor), Reply::Array(names)]))
    }
}

fn added(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Value(Some(value)) => Reply::Integer(value),
        Outcome::Applied => Reply::Simple("APPLIED"),
        Outcome::Full => errors::TOO_MANY_NAMES,
        _ => Reply::error("ERR increment or decrement would overflow"),
    }
}

async fn wait_committed(
    counters: &Counters,
    on_disk: bool,
    copies: i64,
    timeout_ms: u64,
) -> Result<Reply, CountersError> {
    if on_disk && !counters.is_durable() {
        let text = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
        return Ok(Reply::error(text));
    }
    let end = end_of(timeout_ms);
    let is_committed = match counters.is_durable() {
        true => match timeout_at(end, counters.flush(Durability::Fsync)).await {
            Ok(flushed) => flushed.map(|()| true)?,
            Err(_) => false,
        },
        false => false,
    };
    let copies = counters.committed_until(number(copies), end).await?;
    let copies = Reply::Integer(copies.try_into().unwrap_or(i64::MAX));
    Ok(Reply::Array(vec![Reply::Integer(is_committed.into()), copies]))
}

/// Returns a number of nodes.
fn number(copies: i64) -> usize {
    usize::try_from(copies).unwrap_or(0)
}

fn end_of(timeout_ms: u64) -> Instant {
    let timeout = Some(Duration::from_millis(timeout_ms)).filter(|timeout| !timeout.is_zero());
    Instant::now() + timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}

async fn stats(counters: &Counters) -> Result<Reply, CountersError> {
    let stats = counters.stats().await?;
    let pair = |name: &str, value: Reply| (Reply::bulk(name), value);
    // Totals may be beyond 64 bits.
    Ok(Reply::Map(vec![
        pair("names", integer(stats.num_counters)),
        pair("value", Reply::bulk(stats.total_value.to_string())),
        pair("operations", Reply::bulk(stats.total_operations.to_string())),
        pair("rejected", Reply::bulk(stats.rejected_operations.to_string())),
        pair("restarts", Reply::bulk(stats.restarts.to_string())),
    ]))
}

/// Describes the server, as Redis describes itself. There are no totals while they are being loaded.
fn info(
    stats: Option<AggregatedStats>,
    is_durable: bool,
    other_nodes: usize,
    topic: Option<&TopicStatus>,
) -> Reply {
    let is_loading = u8::from(stats.is_none());
    let stats = stats.unwrap_or_default();
    let topic = topic.map_or_else(String::new, topic::info);
    Reply::Text(format!(
        "# Server\r\nredis_version:{}\r\nredis_mode:standalone\r\nserver_name:counter-server\r\n\
         counter_server_version:{}\r\nprocess_id:{}\r\n\r\n\
         # Persistence\r\nloading:{is_loading}\r\naof_enabled:{}\r\n\r\n\
         # Stats\r\ntotal_operations:{}\r\nrejected_operations:{}\r\n\r\n\
         # Replication\r\nrole:master\r\nconnected_slaves:{other_nodes}\r\n\r\n{topic}\
         # Keyspace\r\ndb0:keys={},expires=0,avg_ttl=0\r\n",
        super::REDIS_VERSION,
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        u8::from(is_durable),
        stats.total_operations,
        stats.rejected_operations,
        stats.num_counters,
    ))
}

fn integer(number: u64) -> Reply {
    Reply::Integer(number.try_into().unwrap_or(i64::MAX))
}
