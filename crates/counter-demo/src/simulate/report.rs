//! Output of a simulation.

use std::io::{self, Write};

use aggregator_actor::Collection;
use counter_cli::Interrupt;
use counter_protocol::{AggregatedStats, CounterName, CounterStats};
use serde::Serialize;

use super::clients::Sent;
use crate::cli::{SimulateArguments, SimulateFormat};
use crate::table::table;

/// Maximum number of counters that the table lists. JSON has them all, if they are actors.
pub(super) const LISTED: usize = 20;

/// Result of a simulation.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sent: Sent,
    pub(super) totals: AggregatedStats,
    pub(super) counters: Counters,
    /// Signal that ended it early, if one did.
    pub(super) interrupted: Option<Interrupt>,
}

/// Statistics of each counter.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Counters {
    Actors(Vec<Named<CounterStats>>),
    /// Those of a keyspace with the largest values. Restarts and rates are of its shards.
    Entries(Vec<Named<Entry>>),
}

#[derive(Debug, Serialize)]
pub(super) struct Named<T> {
    pub(super) name: CounterName,
    pub(super) stats: T,
}

/// Entry of a keyspace, with the field names of [`CounterStats`].
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) current_value: i64,
    pub(super) total_operations: u64,
}

impl Outcome {
    pub(super) fn is_exact(&self) -> bool {
        self.sent.equals(&self.totals)
    }
}

pub(super) fn heading(out: &mut dyn Write, arguments: &SimulateArguments) -> io::Result<()> {
    let SimulateArguments { clients, operations, delay, format, .. } = arguments;
    let counters = arguments.counters();
    let delay = humantime::format_duration(*delay);
    match format {
        SimulateFormat::Json => Ok(()),
        SimulateFormat::Table => writeln!(
            out,
            "{counters} counters, {clients} clients, {operations} operations each, {delay} apart\n\n{:>10} {:>14} {:>12} {:>14} {:>11}",
            "collection", "total value", "operations", "ops/s recently", "unanswered",
        ),
    }
}

pub(super) fn collection(
    out: &mut dyn Write,
    format: SimulateFormat,
    collection: &Collection,
) -> io::Result<()> {
    let Collection { number, stats } = collection;
    match format {
        SimulateFormat::Json => {
            json_line(out, &CollectionEvent { event: "collection", number: *number, totals: stats.into() })
        }
        SimulateFormat::Table => writeln!(
            out,
            "{number:>10} {:>14} {:>12} {:>14.1} {:>11}",
            stats.total_value,
            stats.total_operations,
            stats.recent_operations_per_second,
            stats.unanswered.len(),
        ),
    }
}

pub(super) fn result(out: &mut dyn Write, format: SimulateFormat, outcome: &Outcome) -> io::Result<()> {
    match format {
        SimulateFormat::Json => result_json(out, outcome),
        SimulateFormat::Table => result_table(out, outcome),
    }
}

fn result_json(out: &mut dyn Write, outcome: &Outcome) -> io::Result<()> {
    let result = ResultEvent {
        event: "result",
        exact: outcome.is_exact(),
        partial: outcome.interrupted.is_some(),
        sent: outcome.sent,
        totals: (&outcome.totals).into(),
        counters: &outcome.counters,
    };
    json_line(out, &result)
}

fn result_table(out: &mut dyn Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome { sent, totals, counters, interrupted } = outcome;
    let table = match counters {
        Counters::Actors(counters) => {
            let row = |Named { name, stats }: &Named<CounterStats>| {
                [
                    name.to_string(),
                    stats.current_value.to_string(),
                    stats.total_operations.to_string(),
                    format!("{:.1}", stats.operations_per_second),
                    stats.restarts.to_string(),
                ]
            };
            let rows = counters.iter().take(LISTED).map(row);
            table(["counter", "value", "operations", "ops/s", "restarts"], 1..5, rows)
        }
        Counters::Entries(counters) => {
            let row = |Named { name, stats }: &Named<Entry>| {
                [name.to_string(), stats.current_value.to_string(), stats.total_operations.to_string()]
            };
            table(["counter", "value", "operations"], 1..3, counters.iter().take(LISTED).map(row))
        }
    };
    writeln!(out, "\n{table}")?;
    if let Some(more @ 1..) = totals.num_counters.checked_sub(LISTED as u64) {
        writeln!(out, "and {more} more counters")?;
    }
    let verdict = match (outcome.is_exact(), interrupted) {
        (true, None) => "exact: just what the clients sent",
        (true, Some(_)) => "partial, and exact: just what the clients had sent when they were stopped",
        (false, _) => "NOT EXACT",
    };
    writeln!(out)?;
    writeln!(out, "total value        {:>12}", totals.total_value)?;
    writeln!(out, "total operations   {:>12}", totals.total_operations)?;
    writeln!(out, "counters           {:>12}", totals.num_counters)?;
    writeln!(out, "restarts           {:>12}", totals.restarts)?;
    writeln!(out, "ops/s per counter  {:>12.1}", totals.avg_ops_per_second())?;
    writeln!(out, "{verdict}")?;
    if !outcome.is_exact() {
        writeln!(
            out,
            "sent: value {}, operations {}; refused: {}; unanswered: {:?}",
            sent.value, sent.operations, totals.rejected_operations, totals.unanswered
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct CollectionEvent<'a> {
    event: &'static str,
    number: u64,
    totals: Totals<'a>,
}

#[derive(Serialize)]
struct ResultEvent<'a> {
    event: &'static str,
    exact: bool,
    partial: bool,
    sent: Sent,
    totals: Totals<'a>,
    counters: &'a Counters,
}

/// Statistics, and the average that is derived from them.
#[derive(Serialize)]
struct Totals<'a> {
    #[serde(flatten)]
    stats: &'a AggregatedStats,
    avg_ops_per_second: f64,
}

impl<'a> From<&'a AggregatedStats> for Totals<'a> {
    fn from(stats: &'a AggregatedStats) -> Self {
        Self { stats, avg_ops_per_second: stats.avg_ops_per_second() }
    }
}

fn json_line(out: &mut dyn Write, event: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_beyond_64_bits_are_printed_in_full() {
        let totals = AggregatedStats {
            total_value: i128::MAX,
            total_operations: u128::MAX,
            ..AggregatedStats::default()
        };
        let mut out = Vec::new();
        let collection = Collection { number: 1, stats: totals };
        super::collection(&mut out, SimulateFormat::Json, &collection).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.contains(r#""total_value":170141183460469231731687303715884105727,"#), "{line}");
        assert!(line.contains(r#""total_operations":340282366920938463463374607431768211455,"#), "{line}");
    }
}
