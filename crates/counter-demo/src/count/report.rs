//! What a count prints.

use std::io::{self, BufWriter, Write};

use counter_actor::Count;
use counter_keyspace::{KeyspaceError, KeyspaceHandle, PageToken, by_rank};
use counter_protocol::{AggregatedStats, CounterName};
use serde_json::json;

use crate::cli::CountFormat;
use crate::table::table;

/// Where a table cuts a long name off, in characters; the other formats have names whole.
const NAME_WIDTH: usize = 80;

/// What has been counted.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) totals: AggregatedStats,
    /// All of them, or those with the largest values.
    pub(super) counters: Vec<Row>,
    pub(super) partial: bool,
}

type Row = (CounterName, Count);

/// All counters of a keyspace.
pub(super) async fn all(handle: &KeyspaceHandle) -> Result<Vec<Row>, KeyspaceError> {
    let (mut all, mut next) = (Vec::new(), Some(PageToken::default()));
    while let Some(page) = next {
        let (counters, following) = handle.scan(page).await?;
        all.extend(counters);
        next = following;
    }
    all.sort_unstable_by(by_rank);
    Ok(all)
}

/// Prints the counters, which are in order.
pub(super) fn print(out: &mut dyn Write, format: CountFormat, counts: &Counts) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    match format {
        CountFormat::Table => print_table(&mut out, counts)?,
        CountFormat::Tsv => print_tsv(&mut out, &counts.counters)?,
        CountFormat::Json => print_json(&mut out, counts)?,
    }
    out.flush()
}

fn print_tsv(out: &mut impl Write, counters: &[Row]) -> io::Result<()> {
    for (name, count) in counters {
        write!(out, "{}\t{}\t", count.value, count.operations)?;
        out.write_all(name.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn print_table(out: &mut impl Write, counts: &Counts) -> io::Result<()> {
    let Counts { totals, counters, partial } = counts;
    let row = |(name, count): &Row| [count.value.to_string(), count.operations.to_string(), shorten(name)];
    let table = table(["value", "operations", "name"], 0..2, counters.iter().map(row));
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "{} of {} names; all together: value {}, operations {}{}",
        counters.len(),
        totals.num_counters,
        totals.total_value,
        totals.total_operations,
        if *partial { " (partial)" } else { "" }
    )
}

fn print_json(out: &mut impl Write, counts: &Counts) -> io::Result<()> {
    let Counts { totals, counters, partial } = counts;
    let rows = counters
        .iter()
        .map(|(name, count)| json!({ "name": name, "value": count.value, "operations": count.operations }));
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

/// A name for a table.
pub(super) fn shorten(name: &CounterName) -> String {
    let mut shown = name.to_string();
    if let Some((end, _)) = shown.char_indices().nth(NAME_WIDTH) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}
