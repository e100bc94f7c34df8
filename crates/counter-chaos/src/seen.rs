//! Operations that a node was seen to hold, a lower bound of those it holds later. Pure.

use std::collections::BTreeMap;

use crate::report::Report;

/// Number of operations of each replica that a node was seen to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<String, u128>);

/// Node that holds fewer operations than before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{now} operations of {replica} on a node that held {before} before")]
pub struct Backwards {
    /// Replica that has counted the operations.
    pub replica: String,
    /// Number of operations before.
    pub before: u128,
    /// Number of operations now.
    pub now: u128,
}

impl Seen {
    /// Records a report that the node was asked for after all others.
    ///
    /// # Errors
    /// If it holds less than before.
    pub fn report(&mut self, report: &Report) -> Result<(), Backwards> {
        let now = report.replicas.iter().map(|replica| (replica.replica.clone(), replica.operations));
        let now: BTreeMap<_, _> = now.collect();
        for (replica, &before) in &self.0 {
            let now = now.get(replica).copied().unwrap_or_default();
            if now < before {
                return Err(Backwards { replica: replica.clone(), before, now });
            }
        }
        self.0 = now;
        Ok(())
    }

    /// Records that the node holds at least this number of operations of a replica.
    pub fn holds(&mut self, replica: &str, operations: u128) {
        let seen = self.0.entry(replica.to_owned()).or_default();
        *seen = operations.max(*seen);
    }

    /// Adds records of the same node, or of another that holds the same by now.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(replica, operations)| self.holds(replica, *operations));
    }

    /// Number of operations of a replica that were seen.
    #[must_use]
    pub fn of(&self, replica: &str) -> u128 {
        self.0.get(replica).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Replica;

    fn report(replicas: &[(&str, u128)]) -> Report {
        let replica = |(id, operations): &(&str, u128)| Replica {
            replica: (*id).to_owned(),
            value: 0,
            operations: *operations,
            forks: 0,
        };
        Report { replicas: replicas.iter().map(replica).collect(), ..Report::default() }
    }

    #[test]
    fn a_node_that_holds_less_of_a_replica_than_before_is_caught() {
        let mut seen = Seen::default();
        seen.report(&report(&[("a#1", 5)])).unwrap();
        seen.report(&report(&[("a#1", 5), ("b#1", 3)])).unwrap();
        let before = seen.clone();
        let less = seen.report(&report(&[("a#1", 6), ("b#1", 2)])).unwrap_err();
        assert_eq!(less, Backwards { replica: "b#1".into(), before: 3, now: 2 });
        assert!(seen.report(&report(&[("a#1", 6)])).is_err());
        assert_eq!(seen, before);
    }

    #[test]
    fn the_most_that_was_seen_counts() {
        let (mut seen, mut other) = (Seen::default(), Seen::default());
        seen.report(&report(&[("a#1", 5)])).unwrap();
        seen.holds("a#1", 4);
        other.holds("b#1", 2);
        seen.extend(&other);
        assert_eq!((seen.of("a#1"), seen.of("b#1"), seen.of("c#1")), (5, 2, 0));
    }
}
