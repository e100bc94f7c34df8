//! Output of a count.

use std::io::{self, Write};
use std::thread;

use counter_keyspace::{Key, Order, Ranking, Table};
use counter_protocol::{AggregatedStats, Count, CounterName};

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
    pub(super) counters: Counters,
    pub(super) partial: bool,
}

/// Counters to print.
#[derive(Debug)]
pub(super) enum Counters {
    /// All of these tables, in this order if there is one.
    All(Vec<Table>, Option<Order>),
    /// Those with the largest values, in the order to print.
    Top(Vec<(CounterName, Count)>),
}

/// Name of a counter, and its count.
type Row<'a> = (&'a [u8], Count);

/// Prints the counters in order.
pub(super) fn print(out: &mut impl Write, format: CountFormat, counts: &Counts) -> io::Result<()> {
    match &counts.counters {
        Counters::Top(counters) => {
            print_rows(out, format, counts, counters.iter().map(|(name, count)| (name.as_bytes(), *count)))
        }
        Counters::All(tables, None) => {
            print_rows(out, format, counts, tables.iter().flat_map(Table::iter).map(row))
        }
        Counters::All(tables, Some(order)) => print_ranked(out, format, counts, tables, *order),
    }
}

/// Prints tables in order, each of which is sorted on a thread of its own.
fn print_ranked(
    out: &mut impl Write,
    format: CountFormat,
    counts: &Counts,
    tables: &[Table],
    order: Order,
) -> io::Result<()> {
    let rankings: Vec<_> = thread::scope(|scope| {
        let sorting: Vec<_> =
            tables.iter().map(|table| scope.spawn(move || Ranking::new(table, order))).collect();
        sorting.into_iter().map(|ranking| ranking.join().expect("sorting does not panic")).collect()
    });
    print_rows(out, format, counts, Ranking::merge(&rankings).map(row))
}

const fn row((key, count): (Key<'_>, Count)) -> Row<'_> {
    (key.name(), count)
}

fn print_rows<'a>(
    out: &mut impl Write,
    format: CountFormat,
    counts: &Counts,
    rows: impl Iterator<Item = Row<'a>>,
) -> io::Result<()> {
    match format {
        CountFormat::Table => print_table(out, counts, rows),
        CountFormat::Tsv => print_tsv(out, rows),
        CountFormat::Json => print_json(out, counts, rows),
    }
}

fn print_tsv<'a>(out: &mut impl Write, rows: impl Iterator<Item = Row<'a>>) -> io::Result<()> {
    let (mut value, mut operations) = (itoa::Buffer::new(), itoa::Buffer::new());
    for (name, count) in rows {
        out.write_all(value.format(count.value).as_bytes())?;
        out.write_all(b"\t")?;
        out.write_all(operations.format(count.operations).as_bytes())?;
        out.write_all(b"\t")?;
        out.write_all(name)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn print_table<'a>(
    out: &mut impl Write,
    counts: &Counts,
    rows: impl Iterator<Item = Row<'a>>,
) -> io::Result<()> {
    let Counts { totals, partial, .. } = counts;
    let mut printed = 0;
    let cells = rows.map(|(name, count)| {
        printed += 1;
        let name = CounterName::new(name).expect("it was a name before");
        [count.value.to_string(), count.operations.to_string(), shorten(&name)]
    });
    let table = table(["value", "operations", "name"], 0..2, cells);
    writeln!(out, "{table}")?;
    writeln!(
        out,
        "{printed} of {} names; all together: value {}, operations {}{}",
        totals.num_counters,
        totals.total_value,
        totals.total_operations,
        if *partial { " (partial)" } else { "" }
    )
}

/// Prints one document, counter by counter. A name is a string if it is UTF-8, else a list of bytes.
fn print_json<'a>(
    out: &mut impl Write,
    counts: &Counts,
    rows: impl Iterator<Item = Row<'a>>,
) -> io::Result<()> {
    let Counts { totals, partial, .. } = counts;
    let AggregatedStats { total_value, total_operations, rejected_operations, num_counters, .. } = totals;
    write!(
        out,
        r#"{{"partial":{partial},"names":{num_counters},"total_value":{total_value},"total_operations":{total_operations},"rejected_operations":{rejected_operations},"counters":["#
    )?;
    for (n, (name, Count { value, operations })) in rows.enumerate() {
        out.write_all(if n == 0 { br#"{"name":"# } else { br#",{"name":"# })?;
        match std::str::from_utf8(name) {
            Ok(name) => serde_json::to_writer(&mut *out, name)?,
            Err(_) => serde_json::to_writer(&mut *out, name)?,
        }
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
        let counts = Counts { totals, counters: Counters::Top(Vec::new()), partial: false };
        print(&mut out, CountFormat::Json, &counts).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert!(json.contains(r#""total_value":-170141183460469231731687303715884105728,"#), "{json}");
        assert!(json.contains(r#""total_operations":340282366920938463463374607431768211455,"#), "{json}");
    }

    #[test]
    fn tables_are_printed_whole_in_any_order() {
        let tables = || {
            [["a", "c"], ["b", "d"]].map(|names| {
                let mut table = Table::default();
                for (hash, name) in (0..).zip(names) {
                    let name = CounterName::from_static(name);
                    table.apply(Key::hashed(hash, &name), i128::from(hash % 2).into());
                }
                table
            })
        };
        let lines = |order| {
            let (totals, counters) = (AggregatedStats::default(), Counters::All(tables().into(), order));
            let mut out = Vec::new();
            print(&mut out, CountFormat::Tsv, &Counts { totals, counters, partial: false }).unwrap();
            String::from_utf8(out).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(Some(Order::Value)), ["1\t1\tc", "1\t1\td", "0\t1\ta", "0\t1\tb"]);
        let by_name = ["0\t1\ta", "0\t1\tb", "1\t1\tc", "1\t1\td"];
        assert_eq!(lines(Some(Order::Name)), by_name);
        let mut unsorted = lines(None);
        unsorted.sort_unstable_by_key(|line| line.chars().last());
        assert_eq!(unsorted, by_name);
    }

    #[test]
    fn json_is_one_document_whatever_the_names() {
        let counters: Vec<_> = [&b"\"\\\n"[..], b"\xff", b""]
            .map(|name| (CounterName::try_from(name).unwrap(), Count { value: -1, operations: 2 }))
            .into();
        let mut out = Vec::new();
        let (totals, counters) = (AggregatedStats::default(), Counters::Top(counters));
        print(&mut out, CountFormat::Json, &Counts { totals, counters, partial: true }).unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["counters"][0], json!({ "name": "\"\\\n", "value": -1, "operations": 2 }));
        assert_eq!(document["counters"][1]["name"], json!([255]));
        assert_eq!(document["counters"][2]["name"], json!(""));
    }
}
