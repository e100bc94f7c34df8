//! Many simulations, on all cores.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::coverage::Coverage;
use crate::minimise::minimise;
use crate::schedule::Schedule;
use crate::simulation::{Outcome, simulate};

/// Interval between two lines about the progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Number of outcomes that wait to be counted.
const OUTCOMES_AHEAD: usize = 64;

/// Seeds to simulate, and how.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Time after which no further seed is begun.
    pub within: Option<Duration>,
    /// Number of nodes; the seed decides if `None`.
    pub nodes: Option<usize>,
    /// Number of simulations at the same time.
    pub jobs: usize,
}

/// Outcome of a [`Campaign`].
#[derive(Debug, Default)]
pub struct Summary {
    /// Number of seeds.
    pub seeds: u64,
    /// Faults that have had an effect.
    pub coverage: Coverage,
    /// Time that has passed in all simulations together.
    pub simulated: Duration,
    /// Time that has passed.
    pub elapsed: Duration,
    /// First seed that has failed, with what it has broken.
    pub failure: Option<(u64, String)>,
}

/// Simulates until a seed fails, all have been simulated, or `stop` is true, and reports the progress to `out`.
///
/// # Errors
/// If `out` cannot be written to.
pub fn simulate_all(campaign: &Campaign, stop: &AtomicBool, out: &mut dyn Write) -> io::Result<Summary> {
    let begun = Instant::now();
    let (next, is_over) = (AtomicU64::new(campaign.seeds.start), AtomicBool::new(false));
    let (sender, outcomes) = mpsc::sync_channel(OUTCOMES_AHEAD);
    let is_late = || campaign.within.is_some_and(|within| begun.elapsed() >= within);
    thread::scope(|scope| {
        for _ in 0..campaign.jobs {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_done = is_over.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed);
                    if is_done || is_late() || seed >= campaign.seeds.end {
                        return;
                    }
                    let outcome = simulate(&Schedule::generate(seed, campaign.nodes), false);
                    if sender.send((seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut summary, mut reported) = (Summary::default(), begun);
        for (seed, outcome) in outcomes {
            summary.add(seed, outcome);
            is_over.fetch_or(summary.failure.is_some(), Ordering::Relaxed);
            summary.elapsed = begun.elapsed();
            if reported.elapsed() >= PROGRESS_EVERY {
                reported = Instant::now();
                writeln!(out, "{}", summary.rate())?;
            }
        }
        Ok(summary)
    })
}

impl Summary {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.coverage.merge(&outcome.coverage);
        self.simulated += outcome.simulated;
        if let Some(violation) = outcome.violation
            && self.failure.as_ref().is_none_or(|(first, _)| seed < *first)
        {
            self.failure = Some((seed, violation));
        }
    }

    /// Returns how fast it has been.
    #[must_use]
    pub fn rate(&self) -> String {
        let minutes = self.elapsed.as_secs_f64() / 60.0;
        let hours = self.simulated.as_secs_f64() / 3600.0;
        format!(
            "{} seeds in {:.1} minutes: {:.0} seeds and {:.2} simulated hours per minute",
            self.seeds,
            minutes,
            self.seeds as f64 / minutes,
            hours / minutes
        )
    }
}

/// Simulates one seed, or only these events of it, and writes what happens to `out`. Returns true if it fails.
///
/// # Errors
/// If `out` cannot be written to.
pub fn replay(
    seed: u64,
    nodes: Option<usize>,
    only: Option<&BTreeSet<usize>>,
    keeps_trace: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let mut schedule = Schedule::generate(seed, nodes);
    if let Some(only) = only {
        schedule.events.retain(|event| only.contains(&event.number));
    }
    let outcome = simulate(&schedule, keeps_trace);
    write!(out, "{schedule}")?;
    write_trace(&outcome, out)?;
    Ok(outcome.violation.is_some())
}

/// Makes the schedule of a seed that fails smaller, and writes what is left and what happens then to `out`.
///
/// # Errors
/// If `out` cannot be written to.
pub fn explain(seed: u64, nodes: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    let schedule = Schedule::generate(seed, nodes);
    let smallest = minimise(&schedule, |smaller| simulate(smaller, false).violation.is_some());
    let outcome = simulate(&smallest, false);
    write!(out, "{smallest}")?;
    write_trace(&outcome, out)?;
    let numbers: Vec<_> = smallest.events.iter().map(|event| event.number.to_string()).collect();
    writeln!(out, "replay it with --seed {seed} --only {}", numbers.join(","))
}

fn write_trace(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let skipped = outcome.trace.len() - outcome.trace.lines().count() as u64;
    if skipped > 0 {
        writeln!(out, "({skipped} lines before)")?;
    }
    outcome.trace.lines().try_for_each(|line| writeln!(out, "{line}"))?;
    writeln!(out, "trace {:016x}, {} lines", outcome.trace.hash(), outcome.trace.len())?;
    match &outcome.violation {
        Some(violation) => writeln!(out, "broken: {violation}"),
        None => writeln!(out, "nothing is broken"),
    }
}
