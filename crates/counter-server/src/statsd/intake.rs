use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::decode::{Decoder, LineError};
use crate::counters::{Counters, CountersError};
use crate::service::Service;
use crate::telemetry::{FrontEnd, Protocol};

/// Metrics of the StatsD front end.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    counted: Counter,
    rejected: Counter,
    by_reason: Family<Reason, Counter>,
    rounded: Counter,
    datagrams: Counter,
    dropped: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Rejection,
}

/// Why a line was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Rejection {
    /// It is a gauge, a timing, or something else that is not a count.
    OtherType,
    /// It is not StatsD.
    Malformed,
    /// Its amount is outside of 64 bits.
    OutOfRange,
    /// It is longer than the front end reads, or its name is longer than a counter's.
    TooLong,
    /// The counters refused it.
    Refused,
}

impl From<LineError> for Rejection {
    fn from(error: LineError) -> Self {
        match error {
            LineError::OtherType => Self::OtherType,
            LineError::Malformed => Self::Malformed,
            LineError::OutOfRange => Self::OutOfRange,
        }
    }
}

impl Metrics {
    /// Creates the metrics and registers them.
    pub(crate) fn new(service: &Service) -> Self {
        let telemetry = service.telemetry();
        let front_end = FrontEnd { front_end: Protocol::StatsD };
        let metrics = Self {
            counted: telemetry.requests.get_or_create(&front_end).clone(),
            rejected: telemetry.rejected.get_or_create(&front_end).clone(),
            by_reason: Family::default(),
            rounded: Counter::default(),
            datagrams: Counter::default(),
            dropped: Counter::default(),
        };
        telemetry.register(|registry| {
            let Self { by_reason, rounded, datagrams, dropped, .. } = &metrics;
            registry.register("statsd_lines_rejected", "Lines that were not counted", by_reason.clone());
            registry.register(
                "statsd_rounded",
                "Sampled amounts that were not whole numbers",
                rounded.clone(),
            );
            registry.register("statsd_datagrams", "Datagrams that were received", datagrams.clone());
            registry.register("statsd_datagrams_dropped", "Datagrams lost in the kernel", dropped.clone());
        });
        metrics
    }

    pub(crate) fn datagrams(&self, received: u64, dropped: u64) {
        self.datagrams.inc_by(received);
        self.dropped.inc_by(dropped);
    }

    pub(crate) fn reject(&self, rejection: Rejection) {
        self.rejected.inc();
        self.by_reason.get_or_create(&Reason { reason: rejection }).inc();
    }
}

/// Way from lines to counters.
#[derive(Debug)]
pub(crate) struct Intake {
    counters: Counters,
    decoder: Decoder,
    metrics: Metrics,
    /// Source of the numbers that amounts are rounded by.
    random: fastrand::Rng,
}

impl Intake {
    pub(crate) fn new(counters: Counters, metrics: Metrics) -> Self {
        Self { counters, decoder: Decoder::default(), metrics, random: fastrand::Rng::new() }
    }

    /// Counts lines. Waits while the counters have no room, so that senders who can wait will.
    pub(crate) async fn count(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            if !line.is_empty()
                && let Err(rejection) = self.count_line(line).await
            {
                tracing::debug!(line = %line.escape_ascii(), ?rejection, "line not counted");
                self.metrics.reject(rejection);
            }
        }
    }

    async fn count_line(&mut self, line: &[u8]) -> Result<(), Rejection> {
        let counted = self.decoder.decode(line)?;
        for amount in counted.amounts {
            if !amount.is_whole() {
                self.metrics.rounded.inc();
            }
            let amount = amount.round(self.random.u32(..)).ok_or(Rejection::OutOfRange)?;
            self.counters.increment(counted.name, amount).await.map_err(|error| match error {
                CountersError::NameTooLong(_) => Rejection::TooLong,
                _ => Rejection::Refused,
            })?;
            self.metrics.counted.inc();
        }
        Ok(())
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
