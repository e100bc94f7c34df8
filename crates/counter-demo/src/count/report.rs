//! What a count prints.

use std::cmp::Reverse;
use std::io::{self, BufWriter, Write};

use counter_protocol::{CounterName, CounterStats};
use serde_json::json;

use super::tally::Counts;
use crate::cli::CountFormat;
use crate::table::table;

/// Where a table cuts a long name off, in characters; the other formats have names whole.
const NAME_WIDTH: usize = 80;

/// Prints the counters with the largest values first, those of equal value by name.
pub(super) fn print(
    out: &mut dyn Write,
    format: CountFormat,
    counts: &Counts,
    top: usize,
    partial: bool,
) -> io::Result<()> {
    let mut counters: Vec<_> = counts.counters.iter().collect();
    counters.sort_by_key(|(_, stats)| Reverse(stats.current_value));
    counters.truncate(top);
    let mut out = BufWriter::new(out);
    match format {
        CountFormat::Table => print_table(&mut out, counts, &counters, partial)?,
        CountFormat::Tsv => print_tsv(&mut out, &counters)?,
        CountFormat::Json => print_json(&mut out, counts, &counters, partial)?,
    }
    out.flush()
}

type Row<'a> = &'a (CounterName, CounterStats);

fn print_tsv(out: &mut impl Write, counters: &[Row<'_>]) -> io::Result<()> {
    for (name, stats) in counters {
        write!(out, "{}\t{}\t", stats.current_value, stats.total_operations)?;
        out.write_all(name.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn print_table(out: &mut impl Write, counts: &Counts, counters: &[Row<'_>], partial: bool) -> io::Result<()> {
    let row = |(name, stats): &Row<'_>| {
        [stats.current_value.to_string(), stats.total_operations.to_string(), shorten(&name.to_string())]
    };
    let table = table(["value", "operations", "name"], 0..2, counters.iter().map(row));
    let totals = &counts.totals;
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "{} of {} names; all together: value {}, operations {}{}",
        counters.len(),
        totals.num_counters,
        totals.total_value,
        totals.total_operations,
        if partial { " (partial)" } else { "" }
    )
}

fn print_json(out: &mut impl Write, counts: &Counts, counters: &[Row<'_>], partial: bool) -> io::Result<()> {
    let totals = &counts.totals;
    let rows = counters.iter().map(|(name, stats)| {
        json!({ "name": name, "value": stats.current_value, "operations": stats.total_operations })
    });
    let document = json!({
        "partial": partial,
        "names": totals.num_counters,
        "total_value": totals.total_value,
        "total_operations": totals.total_operations,
        "refused_operations": totals.refused_operations,
        "counters": rows.collect::<Vec<_>>(),
    });
    writeln!(out, "{document}")
}

fn shorten(name: &str) -> String {
    match name.char_indices().nth(NAME_WIDTH) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into(),
    }
}
