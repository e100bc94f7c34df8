//! Output of a count.

use std::io::{self, BufWriter, Write};

use counter_keyspace::{KeyspaceError, KeyspaceHandle, PageToken, by_rank};
use counter_protocol::Count;
use counter_protocol::{AggregatedStats, CounterName};

use crate::cli::CountFormat;
use crate::table::table;

/// Maximum length of a name in a table, in characters; the other formats print names whole.
const NAME_WIDTH: usize = 80;

/// Maximum number of names in an error.
const LISTED: usize = 3;

/// Result of a count.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) totals: AggregatedStats,
    /// All of them, or those with the largest values.
    pub(super) counters: Vec<Row>,
    pub(super) partial: bool,
}

type Row = (CounterName, Count);

/// Reads all counters of a keyspace.
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

/// Prints one document, counter by counter.
fn print_json(out: &mut impl Write, counts: &Counts) -> io::Result<()> {
    let Counts { totals, counters, partial } = counts;
    let AggregatedStats { total_value, total_operations, rejected_operations, num_counters, .. } = totals;
    write!(
        out,
        r#"{{"partial":{partial},"names":{num_counters},"total_value":{total_value},"total_operations":{total_operations},"rejected_operations":{rejected_operations},"counters":["#
    )?;
    for (n, (name, Count { value, operations })) in counters.iter().enumerate() {
        out.write_all(if n == 0 { br#"{"name":"# } else { br#",{"name":"# })?;
        serde_json::to_writer(&mut *out, name)?;
        write!(out, r#","value":{value},"operations":{operations}}}"#)?;
    }
    out.write_all(b"]}\n")
}

/// Returns one line about names whose sums are not printed, the first of them by name.
pub(super) fn overflow(names: &[(CounterName, i128)]) -> String {
    let listed = names.iter().take(LISTED).map(|(name, sum)| format!("{} ({sum})", shorten(name)));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("sum outside of 64 bits, not printed: {listed}{more}")
}

/// Shortens a name for a table.
pub(super) fn shorten(name: &CounterName) -> String {
    let mut shown = name.to_string();
    if let Some((end, _)) = shown.char_indices().nth(NAME_WIDTH) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn totals_beyond_64_bits_are_printed_in_full() {
        let totals = AggregatedStats {
            total_value: i128::MIN,
            total_operations: u128::MAX,
            ..AggregatedStats::default()
        };
        let mut out = Vec::new();
        print_json(&mut out, &Counts { totals, counters: Vec::new(), partial: false }).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert!(json.contains(r#""total_value":-170141183460469231731687303715884105728,"#), "{json}");
        assert!(json.contains(r#""total_operations":340282366920938463463374607431768211455,"#), "{json}");
    }

    #[test]
    fn json_is_one_document_whatever_the_names() {
        let counters: Vec<_> = [&b"\"\\\n"[..], b"\xff", b""]
            .map(|name| (CounterName::try_from(name).unwrap(), Count { value: -1, operations: 2 }))
            .into();
        let mut out = Vec::new();
        print_json(&mut out, &Counts { totals: AggregatedStats::default(), counters, partial: true })
            .unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["counters"][0], json!({ "name": "\"\\\n", "value": -1, "operations": 2 }));
        assert_eq!(document["counters"][1]["name"], json!([255]));
        assert_eq!(document["counters"][2]["name"], json!(""));
    }
}
