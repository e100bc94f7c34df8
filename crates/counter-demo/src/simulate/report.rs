//! What a simulation prints.

use std::io::{self, Write};

use aggregator_actor::Collection;
use counter_protocol::{AggregatedStats, CounterName, CounterStats};
use serde_json::json;

use super::clients::Sent;
use crate::cli::{SimulateArguments, SimulateFormat};
use crate::signals::Interrupt;
use crate::table::table;

/// How many counters the table lists. JSON has them all, if they are actors.
pub(super) const LISTED: usize = 20;

/// The end of a simulation.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sent: Sent,
    pub(super) totals: AggregatedStats,
    pub(super) counter_stats: Vec<(CounterName, CounterStats)>,
    /// The signal that ended it early, if one did.
    pub(super) interrupted: Option<Interrupt>,
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
            writeln!(out, "{}", json!({ "event": "collection", "number": number, "totals": totals(stats) }))
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
    let counters = outcome.counter_stats.iter().map(|(name, stats)| json!({ "name": name, "stats": stats }));
    let result = json!({
        "event": "result",
        "exact": outcome.is_exact(),
        "partial": outcome.interrupted.is_some(),
        "sent": { "value": outcome.sent.value, "operations": outcome.sent.operations },
        "totals": totals(&outcome.totals),
        "counters": counters.collect::<Vec<_>>(),
    });
    writeln!(out, "{result}")
}

fn result_table(out: &mut dyn Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome { sent, totals, counter_stats, interrupted } = outcome;
    let row = |(name, stats): &(CounterName, CounterStats)| {
        [
            name.to_string(),
            stats.current_value.to_string(),
            stats.total_operations.to_string(),
            format!("{:.1}", stats.operations_per_second),
            stats.restarts.to_string(),
        ]
    };
    let rows = counter_stats.iter().take(LISTED).map(row);
    let table = table(["counter", "value", "operations", "ops/s", "restarts"], 1..5, rows);
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
            sent.value, sent.operations, totals.refused_operations, totals.unanswered
        )?;
    }
    Ok(())
}

/// The statistics as they are, and the average that is derived from them.
fn totals(stats: &AggregatedStats) -> serde_json::Value {
    let mut totals = json!(stats);
    totals["avg_ops_per_second"] = stats.avg_ops_per_second().into();
    totals
}
