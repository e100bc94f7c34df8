//! Formats measurements as tables.

use std::iter;

use crate::contestants::{ATOMIC, CAST, HANDLE};
use crate::race::{Measured, Scenario};

/// Contestants that the handle is to beat, and by what ratio of rates.
const GOALS: [(&str, f64); 2] = [(CAST, 50.0), (ATOMIC, 0.8)];

/// Prints one scenario: a row for each contestant, then whether the handle has reached its goals.
pub(crate) fn print(scenario: Scenario, measured: &[Measured]) {
    let Scenario { producers, counters } = scenario;
    println!("{producers}/{counters} (producers/counters), in million increments per second");
    println!(
        "{:<26}{:>12}{:>10}{:>22}{:>18}",
        "contestant", "N/producer", "median", "min-max", "handle / this"
    );
    let handle = measured.iter().find(|row| row.name == HANDLE).expect("the handle takes part");
    for row in measured {
        let (min, max) = extremes(&row.rates);
        println!(
            "{:<26}{:>12}{:>10.2}{:>22}{:>18.2}",
            row.name,
            row.increments,
            median(row.rates.clone()),
            format!("{min:.2}-{max:.2}"),
            ratio(handle, row),
        );
    }
    for (name, goal) in GOALS {
        let other = measured.iter().find(|row| row.name == name).expect("it takes part");
        let ratio = ratio(handle, other);
        let verdict = if ratio >= goal { "ok" } else { "MISSED" };
        println!("handle / {name}: {ratio:.2} (goal >= {goal}) {verdict}");
    }
    println!();
}

/// Returns the median of the rounds' ratios of rates.
fn ratio(handle: &Measured, other: &Measured) -> f64 {
    median(iter::zip(&handle.rates, &other.rates).map(|(handle, other)| handle / other).collect())
}

/// Returns the median of an odd number of values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(0.0, f64::max);
    (min, max)
}
