//! Measures contestants against each other.

use std::iter;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::contestants::Contestant;
use crate::produce::{Increment, Producer, run_on_thread};
use crate::table;

/// Number of measurements of each contestant in each scenario.
const ROUNDS: usize = 5;
/// Target duration of a run, long compared with the time that starting it takes.
const TARGET: Duration = Duration::from_millis(250);
/// Minimum duration of a run.
const LONG_ENOUGH: Duration = Duration::from_millis(150);
/// Increments in the first of the trial runs, which determine the number of increments to measure.
const FIRST_TRIAL: u64 = 200_000;
/// Maximum growth from one trial run to the next, because short runs say little.
const MAX_GROWTH: u128 = 10;

/// Numbers of producers and counters. Producer p increments counter p % `counters`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) producers: usize,
    pub(crate) counters: usize,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { producers: 1, counters: 1 },
    Scenario { producers: 4, counters: 1 },
    Scenario { producers: 4, counters: 4 },
    Scenario { producers: 16, counters: 16 },
];

/// Contestant with producers of some kind.
#[derive(Debug)]
pub(crate) struct Entrant {
    name: &'static str,
    max_increments: u64,
    /// Measures this number of increments per producer, from their start until all of them are applied.
    run: fn(&Runtime, Scenario, u64) -> Duration,
}

/// One contestant's measurements in one scenario.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    /// Increments of each producer, in each round.
    pub(crate) increments: u64,
    /// Rates by round, in million increments per second of all producers together.
    pub(crate) rates: Vec<f64>,
}

impl Entrant {
    pub(crate) fn with_tasks<C: Contestant>() -> Self {
        Self { name: C::NAME, max_increments: C::MAX_INCREMENTS, run: run_tasks::<C> }
    }

    pub(crate) fn with_threads<C: Contestant<Producer: Increment>>() -> Self {
        Self { name: C::NAME, max_increments: C::MAX_INCREMENTS, run: run_threads::<C> }
    }

    /// Returns the number of increments per producer for a run that is long enough, or the maximum. Warms up, too.
    fn calibrate(&self, runtime: &Runtime, scenario: Scenario) -> u64 {
        let producers = scenario.producers as u64;
        let most = self.max_increments / producers;
        let mut increments = FIRST_TRIAL / producers;
        loop {
            let took = (self.run)(runtime, scenario, increments);
            if took >= LONG_ENOUGH || increments == most {
                return increments;
            }
            let growth_percent = (TARGET.as_nanos() * 100 / took.as_nanos().max(1)).min(MAX_GROWTH * 100);
            let growth_percent = u64::try_from(growth_percent).expect("it has just been limited");
            increments = (increments * growth_percent / 100).min(most);
        }
    }
}

/// Prints a table for each scenario. Rounds are interleaved, so that a disturbance of the machine affects all
/// contestants.
pub(crate) fn run(runtime: &Runtime, entrants: &[Entrant]) {
    for scenario in SCENARIOS {
        let start = |entrant: &Entrant| Measured {
            name: entrant.name,
            increments: entrant.calibrate(runtime, scenario),
            rates: Vec::with_capacity(ROUNDS),
        };
        let mut measured: Vec<Measured> = entrants.iter().map(start).collect();
        for _ in 0..ROUNDS {
            for (entrant, measured) in iter::zip(entrants, &mut measured) {
                let took = (entrant.run)(runtime, scenario, measured.increments);
                let total = measured.increments * scenario.producers as u64;
                measured.rates.push(total as f64 / took.as_secs_f64() / 1e6);
            }
        }
        table::print(scenario, &measured);
    }
}

fn run_tasks<C: Contestant>(runtime: &Runtime, scenario: Scenario, increments: u64) -> Duration {
    let mut contestant = runtime.block_on(C::start(scenario.counters));
    let producers = producers(&contestant, scenario);
    let started = Instant::now();
    let tasks: Vec<_> =
        producers.into_iter().map(|producer| runtime.spawn(producer.run(increments))).collect();
    let values = runtime.block_on(async {
        for task in tasks {
            task.await.expect("producers do not panic");
        }
        contestant.values().await
    });
    let took = started.elapsed();
    check(&values, scenario, increments);
    runtime.block_on(contestant.stop());
    took
}

fn run_threads<C: Contestant<Producer: Increment>>(
    runtime: &Runtime,
    scenario: Scenario,
    increments: u64,
) -> Duration {
    let mut contestant = runtime.block_on(C::start(scenario.counters));
    let producers = producers(&contestant, scenario);
    let started = Instant::now();
    thread::scope(|scope| {
        for producer in producers {
            scope.spawn(move || run_on_thread(producer, increments, runtime.handle()));
        }
    });
    let values = runtime.block_on(contestant.values());
    let took = started.elapsed();
    check(&values, scenario, increments);
    runtime.block_on(contestant.stop());
    took
}

fn producers<C: Contestant>(contestant: &C, scenario: Scenario) -> Vec<C::Producer> {
    (0..scenario.producers).map(|p| contestant.producer(p % scenario.counters)).collect()
}

/// Fails if a contestant has lost or doubled anything.
fn check(values: &[i64], scenario: Scenario, increments: u64) {
    let sum: i128 = values.iter().copied().map(i128::from).sum();
    assert_eq!(sum, scenario.producers as i128 * i128::from(increments), "counting is exact");
}
