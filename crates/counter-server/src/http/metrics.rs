//! Metrics in the OpenMetrics text format: of the server, and of its counters.

mod topic;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use counter_keyspace::PageToken;
use counter_protocol::{Count, CounterName};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::connection::Connection;
use super::problem::Problem;
use super::query::Query;
use crate::counters::{Counters, CountersError};
use crate::status::{Cluster, Status, StoreStatus};

/// Media type of the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Maximum number of series of counters. Each counter has two.
const MAX_SERIES: usize = 10_000;

/// Gauge of a number that has no bounds.
type FloatGauge = Gauge<f64, AtomicU64>;

/// Label of a shard.
type ShardLabel = [(&'static str, String); 1];

/// Label of another node.
type NodeLabel = [(&'static str, String); 1];

/// Label of a counter: its name, or the bytes of the name in hexadecimal digits if it is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NameLabel(CounterName);

/// Returns the metrics of the server.
pub(crate) async fn of_server(
    Extension(connection): Extension<Arc<Connection>>,
) -> Result<Response, Problem> {
    let service = connection.service();
    // While counters are being loaded, there are only the metrics that need none.
    let registry = match connection.counters() {
        Ok(counters) => registry(&Status::take(service, counters).await?),
        Err(_) => Registry::default(),
    };
    respond(|text| {
        text.push_str(&service.telemetry().encode()?);
        encode_registry(text, &registry)
    })
}

/// Returns the counters with a prefix as metrics.
pub(crate) async fn of_counters(
    Extension(connection): Extension<Arc<Connection>>,
    query: Query,
) -> Result<Response, Problem> {
    query.check(&["prefix"])?;
    let prefix = query.bytes("prefix").unwrap_or_default();
    let (counters, is_truncated) = exported(connection.counters()?, prefix).await?;
    respond(|text| encode_registry(text, &counters_registry(counters, is_truncated)))
}

fn respond(encode: impl FnOnce(&mut String) -> fmt::Result) -> Result<Response, Problem> {
    let mut text = String::new();
    let encoded = encode(&mut text).and_then(|()| encode_eof(&mut text));
    encoded.map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

#[expect(clippy::cast_precision_loss, reason = "a value in OpenMetrics is a float")]
fn registry(status: &Status) -> Registry {
    let mut registry = Registry::with_prefix("counter_server");
    let mut gauge = |name: &str, help: &str, value: f64| registry.register(name, help, float(value));
    gauge("counters", "Counters that exist", status.totals.counters as f64);
    gauge("value", "Sum of the values of all counters", status.totals.value as f64);
    gauge("operations", "Operations of the counters that exist", status.totals.operations as f64);
    gauge(
        "batches_waiting",
        "Batches of operations that have not been answered yet",
        status.batches_waiting as f64,
    );
    let rejected = counter(u64::try_from(status.totals.rejected_operations).unwrap_or(u64::MAX));
    registry.register(
        "operations_rejected",
        "Operations that would have left the range of 64 bits",
        rejected,
    );
    let mut seconds = |name: &str, help: &str, value: f64| {
        registry.register_with_unit(name, help, Unit::Seconds, float(value));
    };
    seconds("uptime", "Time since the server started", status.uptime_ms as f64 / 1000.0);
    seconds(
        "shard_delay",
        "Time that a question has waited for the slowest shard",
        status.shard_delay_ms / 1000.0,
    );
    if let Some(bytes) = status.resident_bytes {
        registry.register_with_unit(
            "resident_memory",
            "Memory of the process",
            Unit::Bytes,
            float(bytes as f64),
        );
    }
    let (names, restarts) =
        (Family::<ShardLabel, FloatGauge>::default(), Family::<ShardLabel, Counter>::default());
    for (number, shard) in status.shards.iter().enumerate() {
        let label = [("shard", number.to_string())];
        names.get_or_create(&label).set(shard.counters as f64);
        restarts.get_or_create(&label).inc_by(u64::try_from(shard.restarts).unwrap_or(u64::MAX));
    }
    registry.register("shard_counters", "Counters of a shard", names);
    registry.register("shard_restarts", "Restarts of a shard", restarts);
    if let Some(store) = &status.store {
        register_store(&mut registry, store);
    }
    if let Some(cluster) = &status.cluster {
        register_cluster(&mut registry, cluster);
    }
    if let Some(topic) = &status.topic {
        topic::register(&mut registry, topic);
    }
    registry
}

#[expect(clippy::cast_precision_loss, reason = "a value in OpenMetrics is a float")]
fn register_cluster(registry: &mut Registry, cluster: &Cluster) {
    let [up, silence, lag] = std::array::from_fn(|_| Family::<NodeLabel, FloatGauge>::default());
    for node in &cluster.nodes {
        let label = [("node", node.name.clone())];
        up.get_or_create(&label).set(f64::from(u8::from(node.is_up)));
        silence.get_or_create(&label).set(node.last_heard_ms / 1000.0);
        lag.get_or_create(&label).set(node.lag as f64);
    }
    registry.register("node_up", "Whether another node is connected", up);
    let help = "Time since another node was last heard from";
    registry.register_with_unit("node_silence", help, Unit::Seconds, silence);
    registry.register("replication_lag", "Counters whose latest counts another node has yet to get", lag);
    let mut gauge = |name: &str, help: &str, value: u64| registry.register(name, help, float(value as f64));
    gauge("replicas", "Incarnations of nodes that have counted", cluster.replicas);
    gauge("replicas_forked", "Incarnations that two processes have counted as", cluster.forks);
    gauge(
        "replica_entries_refused",
        "Entries refused because there are too many incarnations",
        cluster.refused,
    );
}

#[expect(clippy::cast_precision_loss, reason = "a value in OpenMetrics is a float")]
fn register_store(registry: &mut Registry, store: &StoreStatus) {
    if let Some(lag_ms) = store.commit_lag_ms {
        let help = "Time in which what had been counted became durable";
        registry.register_with_unit("commit_lag", help, Unit::Seconds, float(lag_ms / 1000.0));
    }
    let uncommitted = float(store.uncommitted as f64);
    registry.register("uncommitted", "Messages to shards that are not durable yet", uncommitted);
    registry.register("commit_rounds", "Rounds that have been committed", counter(store.rounds));
    registry.register("disk_failures", "Times that the disk has failed", counter(store.failures));
    let is_failed = float(f64::from(u8::from(store.is_failed)));
    registry.register("disk_failed", "Whether the disk has failed and nothing is durable", is_failed);
}

fn float(value: f64) -> FloatGauge {
    let gauge = FloatGauge::default();
    gauge.set(value);
    gauge
}

fn counter(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

/// Returns the counters that are exported, and whether there are more.
async fn exported(
    counters: &Counters,
    prefix: &[u8],
) -> Result<(Vec<(CounterName, Count)>, bool), CountersError> {
    let (mut exported, mut next) = (Vec::new(), Some(PageToken::default()));
    while let Some(token) = next {
        // One more than fits tells whether there are more.
        let room = MAX_SERIES / 2 + 1 - exported.len();
        let (page, following) = counters.scan_prefix(token, room, prefix).await?;
        exported.extend(page);
        if exported.len() > MAX_SERIES / 2 {
            exported.truncate(MAX_SERIES / 2);
            return Ok((exported, true));
        }
        next = following;
    }
    Ok((exported, false))
}

fn counters_registry(counters: Vec<(CounterName, Count)>, is_truncated: bool) -> Registry {
    let mut registry = Registry::with_prefix("counter");
    let (values, operations) =
        (Family::<NameLabel, Gauge>::default(), Family::<NameLabel, Counter>::default());
    for (name, Count { value, operations: number }) in counters {
        let label = NameLabel(name);
        values.get_or_create(&label).set(value);
        operations.get_or_create(&label).inc_by(number);
    }
    registry.register("value", "Value of the counter", values);
    registry.register("operations", "Operations that have led to the value", operations);
    let is_truncated = float(f64::from(u8::from(is_truncated)));
    registry.register("series_truncated", "Whether there are more counters than are exported", is_truncated);
    registry
}

impl EncodeLabelSet for NameLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let bytes = self.0.as_bytes();
        let (key, value) = match str::from_utf8(bytes) {
            Ok(text) => ("name", escaped(text)),
            Err(_) => ("name_hex", hex(bytes)),
        };
        (key, value).encode(encoder.encode_label())
    }
}

/// Escapes the value of a label, which the library does not.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::new();
    // A string takes everything.
    bytes.iter().for_each(|byte| _ = write!(digits, "{byte:02x}"));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::NodeStatus;

    #[test]
    fn each_other_node_has_its_lag_and_its_age() {
        let node = NodeStatus { name: "b".into(), is_up: true, last_heard_ms: 250.0, lag: 7 };
        let cluster = Cluster { nodes: vec![node], replicas: 3, forks: 0, refused: 0 };
        let (mut registry, mut text) = (Registry::with_prefix("counter_server"), String::new());
        register_cluster(&mut registry, &cluster);
        encode_registry(&mut text, &registry).unwrap();
        for line in [
            "counter_server_node_up{node=\"b\"} 1.0\n",
            "counter_server_node_silence_seconds{node=\"b\"} 0.25\n",
            "counter_server_replication_lag{node=\"b\"} 7.0\n",
            "counter_server_replicas 3.0\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn names_of_any_bytes_are_labels() {
        let names: [&[u8]; 3] = [b"plain", b"a\"b\\c\nd", b"\xff\x01"];
        let counters =
            names.map(|name| (CounterName::new(name).unwrap(), Count { value: -5, operations: 3 }));
        let mut text = String::new();
        encode_registry(&mut text, &counters_registry(counters.into(), true)).unwrap();
        for line in [
            "counter_value{name=\"plain\"} -5\n",
            "counter_value{name=\"a\\\"b\\\\c\\nd\"} -5\n",
            "counter_value{name_hex=\"ff01\"} -5\n",
            "counter_operations_total{name=\"plain\"} 3\n",
            "counter_series_truncated 1.0\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
