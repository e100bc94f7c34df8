//! Smaller schedules that fail as well: delta debugging over faults and operations.

use crate::schedule::{Event, Schedule};

/// Maximum number of simulations that a minimisation takes.
const ATTEMPTS: usize = 300;

/// Leaves events out of a schedule that fails, as long as it still fails.
///
/// This is ddmin of A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), without
/// trying subsets by themselves. Whether a schedule fails is for the caller to say.
#[must_use]
pub fn minimise(schedule: &Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let (mut smallest, mut parts, mut attempts) = (schedule.clone(), 2, 0);
    while smallest.events.len() > 1 && attempts < ATTEMPTS {
        let length = smallest.events.len().div_ceil(parts);
        let starts = (0..smallest.events.len()).step_by(length);
        let smaller =
            starts.map(|start| smallest.only(without(&smallest.events, start, length))).find(|smaller| {
                attempts += 1;
                attempts <= ATTEMPTS && fails(smaller)
            });
        match smaller {
            Some(smaller) => {
                smallest = smaller;
                parts = parts.saturating_sub(1).max(2);
            }
            None if length == 1 => break,
            None => parts = (2 * parts).min(smallest.events.len()),
        }
    }
    smallest
}

fn without(events: &[Event], start: usize, length: usize) -> Vec<Event> {
    let kept = events.iter().enumerate().filter(|(n, _)| !(start..start + length).contains(n));
    kept.map(|(_, event)| event.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_schedule_is_what_makes_it_fail() {
        let schedule = Schedule::generate(1, None);
        let needed = [3, schedule.events.len() / 2, schedule.events.len() - 1];
        let fails = |schedule: &Schedule| {
            needed.iter().all(|number| schedule.events.iter().any(|event| event.number == *number))
        };
        let smallest = minimise(&schedule, fails);
        assert_eq!(smallest.events.iter().map(|event| event.number).collect::<Vec<_>>(), needed);
    }
}
