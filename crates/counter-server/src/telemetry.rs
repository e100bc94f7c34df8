//! Metrics of the server itself, in the OpenMetrics format.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Front end that a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are the names of the protocols")]
pub enum Protocol {
    Resp,
    Http,
    StatsD,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 3] = [Self::Resp, Self::Http, Self::StatsD];

    /// Returns the name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resp => "resp",
            Self::Http => "http",
            Self::StatsD => "statsd",
        }
    }
}

impl EncodeLabelValue for Protocol {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.name().encode(encoder)
    }
}

/// Label of metrics that each front end has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FrontEnd {
    /// Protocol of the front end.
    pub front_end: Protocol,
}

/// Metrics of the server. A front end may [`register`](Self::register) further ones.
#[derive(Debug)]
pub struct Telemetry {
    registry: Mutex<Registry>,
    /// Open connections.
    pub connections: Family<FrontEnd, Gauge>,
    /// Connections that were accepted.
    pub accepted: Family<FrontEnd, Counter>,
    /// Connections that were turned away because there were too many.
    pub turned_away: Family<FrontEnd, Counter>,
    /// Requests that were carried out.
    pub requests: Family<FrontEnd, Counter>,
    /// Requests that were answered with an error.
    pub rejected: Family<FrontEnd, Counter>,
}

impl Telemetry {
    /// Creates the metrics and registers them.
    #[must_use]
    pub fn new() -> Self {
        let telemetry = Self {
            registry: Registry::with_prefix("counter_server").into(),
            connections: Family::default(),
            accepted: Family::default(),
            turned_away: Family::default(),
            requests: Family::default(),
            rejected: Family::default(),
        };
        telemetry.register(|registry| {
            let Self { connections, accepted, turned_away, requests, rejected, .. } = &telemetry;
            registry.register("connections", "Open connections", connections.clone());
            registry.register("connections_accepted", "Connections that were accepted", accepted.clone());
            registry.register("connections_turned_away", "Connections above the limit", turned_away.clone());
            registry.register("requests", "Requests that were carried out", requests.clone());
            registry.register("requests_rejected", "Requests answered with an error", rejected.clone());
        });
        telemetry
    }

    /// Registers metrics of a front end.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns all metrics in the OpenMetrics text format, without its end.
    ///
    /// # Errors
    /// [`fmt::Error`] of a metric that cannot be written.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_a_front_end_have_its_label() {
        let telemetry = Telemetry::new();
        telemetry.requests.get_or_create(&FrontEnd { front_end: Protocol::Resp }).inc_by(3);
        let text = telemetry.encode().unwrap();
        assert!(text.contains("counter_server_requests_total{front_end=\"resp\"} 3\n"), "{text}");
    }
}
