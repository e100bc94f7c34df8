//! Output of a count.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::sync_channel;
use std::thread;

use counter_keyspace::{Block, Order, Ranking, Table};
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

/// Appends a counter to a text.
type Format = fn(&mut Vec<u8>, &[u8], Count) -> io::Result<()>;

/// Number of counters that are formatted at once.
const BLOCK_ROWS: u32 = 8192;

/// Number of formatted blocks that wait to be written, for each thread that formats.
const BLOCKS_AHEAD: usize = 2;

/// Prints the counters in order.
pub(super) fn print(out: &mut impl Write, format: CountFormat, counts: &Counts) -> io::Result<()> {
    match format {
        CountFormat::Table => print_table(out, counts),
        CountFormat::Tsv => print_each(out, &counts.counters, tsv),
        CountFormat::Json => {
            json_head(out, counts)?;
            print_each(&mut WithoutFirstByte::new(&mut *out), &counts.counters, json)?;
            out.write_all(b"]}\n")
        }
    }
}

fn print_each(out: &mut impl Write, counters: &Counters, format: Format) -> io::Result<()> {
    match counters {
        Counters::Top(counters) => {
            let mut text = Vec::new();
            counters.iter().try_for_each(|(name, count)| format(&mut text, name.as_bytes(), *count))?;
            out.write_all(&text)
        }
        Counters::All(tables, None) => {
            print_blocks(out, &Block::unsorted(tables, BLOCK_ROWS).collect::<Vec<_>>(), format)
        }
        Counters::All(tables, Some(order)) => {
            let ranking = Ranking::new(tables, *order);
            print_blocks(out, &ranking.blocks(BLOCK_ROWS as usize).collect::<Vec<_>>(), format)
        }
    }
}

/// Formats blocks on all cores, and writes them in order. Each thread formats every nth block.
fn print_blocks(out: &mut impl Write, blocks: &[Block<'_>], format: Format) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let formatted: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, texts) = sync_channel(BLOCKS_AHEAD);
                scope.spawn(move || {
                    for block in blocks.iter().skip(first).step_by(threads) {
                        let mut text = Vec::new();
                        let done = block.try_for_each(|key, count| format(&mut text, key.name(), count));
                        if sender.send(done.map(|()| text)).is_err() {
                            // Writing has failed.
                            return;
                        }
                    }
                });
                texts
            })
            .collect();
        for texts in formatted.iter().cycle().take(blocks.len()) {
            out.write_all(&texts.recv().expect("formatting does not panic")?)?;
        }
        Ok(())
    })
}

fn tsv(text: &mut Vec<u8>, name: &[u8], Count { value, operations }: Count) -> io::Result<()> {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    text.push(b'\t');
    text.extend_from_slice(itoa::Buffer::new().format(operations).as_bytes());
    text.push(b'\t');
    text.extend_from_slice(name);
    text.push(b'\n');
    Ok(())
}

/// Appends a member of the list of counters, with a comma before it. A name is a string if it is UTF-8, else a list of
/// bytes.
fn json(text: &mut Vec<u8>, name: &[u8], Count { value, operations }: Count) -> io::Result<()> {
    text.extend_from_slice(br#",{"name":"#);
    match std::str::from_utf8(name) {
        Ok(name) => serde_json::to_writer(&mut *text, name)?,
        Err(_) => serde_json::to_writer(&mut *text, name)?,
    }
    write!(text, r#","value":{value},"operations":{operations}}}"#)
}

/// Prints the beginning of the document, up to the list of counters.
fn json_head(out: &mut impl Write, Counts { totals, partial, .. }: &Counts) -> io::Result<()> {
    let AggregatedStats { total_value, total_operations, rejected_operations, num_counters, .. } = totals;
    write!(
        out,
        r#"{{"partial":{partial},"names":{num_counters},"total_value":{total_value},"total_operations":{total_operations},"rejected_operations":{rejected_operations},"counters":["#
    )
}

/// Writer that leaves out the first byte: the comma before the first member of a list.
struct WithoutFirstByte<W> {
    out: W,
    is_left_out: bool,
}

impl<W: Write> WithoutFirstByte<W> {
    const fn new(out: W) -> Self {
        Self { out, is_left_out: false }
    }
}

impl<W: Write> Write for WithoutFirstByte<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.split_first() {
            Some(_) if !self.is_left_out => {
                self.is_left_out = true;
                Ok(1)
            }
            _ => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn print_table(out: &mut impl Write, Counts { totals, counters, partial }: &Counts) -> io::Result<()> {
    let mut cells = Vec::new();
    let mut row = |name: &[u8], count: Count| {
        let name = CounterName::new(name).expect("it was a name before");
        cells.push([count.value.to_string(), count.operations.to_string(), shorten(&name)]);
    };
    match counters {
        Counters::Top(counters) => counters.iter().for_each(|(name, count)| row(name.as_bytes(), *count)),
        Counters::All(tables, None) => {
            tables.iter().flat_map(Table::iter).for_each(|(key, count)| row(key.name(), count));
        }
        Counters::All(tables, Some(order)) => {
            Ranking::new(tables, *order).iter().for_each(|(key, count)| row(key.name(), count));
        }
    }
    let printed = cells.len();
    writeln!(out, "{}", table(["value", "operations", "name"], 0..2, cells.into_iter()))?;
    writeln!(
        out,
        "{printed} of {} names; all together: value {}, operations {}{}",
        totals.num_counters,
        totals.total_value,
        totals.total_operations,
        if *partial { " (partial)" } else { "" }
    )
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

    use counter_keyspace::Key;

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
