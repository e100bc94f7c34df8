//! Counts the lines of files in this process: `dataflow timely|differential DIRECTORY WORKERS`.
//!
//! The n-th worker reads the n-th file. Lines are exchanged by their hash, so that each name is counted by one worker,
//! which writes its totals when the files end. Nothing is kept beyond the process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use differential_dataflow::input::Input;
use differential_dataflow::operators::count::CountTotal;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OperatorInfo;
use timely::dataflow::operators::{Capability, Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

/// Lines that differential dataflow takes as one moment. Fewer at a time are slower, many more take more memory.
const LINES_AT_ONCE: u64 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, directory, workers] = &arguments[..] else {
        return Err("expected timely or differential, a directory and a number of workers".into());
    };
    let mut paths =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    let (is_timely, hasher) = (library == "timely", RandomState::new());
    let guards = timely::execute(timely::Config::process(workers.parse()?), move |worker| {
        let mine: Vec<PathBuf> = paths.iter().skip(worker.index()).step_by(worker.peers()).cloned().collect();
        if is_timely { count(worker, mine, hasher.clone()) } else { count_changes(worker, mine) }
    })?;
    guards.join().into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(())
}

/// Counts with a hash map behind an exchange.
fn count(worker: &mut Worker, paths: Vec<PathBuf>, hasher: RandomState) {
    let (mut input, probe) =
        (InputHandle::<u64, CapacityContainerBuilder<Vec<String>>>::new(), ProbeHandle::new());
    worker.dataflow(|scope| {
        let exchange = Exchange::new(move |line: &String| hasher.hash_one(line));
        input
            .to_stream(scope)
            .unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
                exchange,
                "count",
                |_: Capability<u64>, _: OperatorInfo| {
                    let mut counts = HashMap::<String, i64>::new();
                    move |(input, frontier), _| {
                        input.for_each(|_, lines| {
                            for line in lines.drain(..) {
                                match counts.get_mut(&line) {
                                    Some(count) => *count += 1,
                                    None => _ = counts.insert(line, 1),
                                }
                            }
                        });
                        if frontier.is_empty() {
                            write(counts.drain());
                        }
                    }
                },
            )
            .probe_with(&probe);
    });
    for line in lines(&paths) {
        input.send(line);
    }
    input.close();
    while !probe.done() {
        worker.step();
    }
}

/// Counts as a collection that changes.
fn count_changes(worker: &mut Worker, paths: Vec<PathBuf>) {
    let totals = std::rc::Rc::new(std::cell::RefCell::new(HashMap::<String, i64>::new()));
    let seen = totals.clone();
    let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
        let (input, lines) = scope.new_collection::<String, isize>();
        let (probe, _) = lines
            .count_total()
            .inspect(move |((line, count), _, change)| {
                if *change > 0 {
                    let mut seen = seen.borrow_mut();
                    let total = seen.entry(line.clone()).or_default();
                    *total = (*total).max(i64::try_from(*count).expect("a count has 64 bits"));
                }
            })
            .probe();
        (input, probe)
    });
    for (number, line) in (0_u64..).zip(lines(&paths)) {
        input.insert(line);
        if number % LINES_AT_ONCE == LINES_AT_ONCE - 1 {
            input.advance_to(number / LINES_AT_ONCE + 1);
            input.flush();
            worker.step_while(|| probe.less_than(input.time()));
        }
    }
    input.close();
    worker.step_while(|| !probe.done());
    write(totals.borrow_mut().drain());
}

fn lines(paths: &[PathBuf]) -> impl Iterator<Item = String> {
    let lines = |path: &PathBuf| BufReader::new(File::open(path).expect("a file that can be read")).lines();
    paths.iter().flat_map(lines).map(|line| line.expect("a line that can be read"))
}

fn write(totals: impl Iterator<Item = (String, i64)>) {
    let mut out = BufWriter::new(io::stdout().lock());
    for (name, total) in totals {
        writeln!(out, "{name}\t{total}").expect("standard output");
    }
}
