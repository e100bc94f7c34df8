//! Operations that a node was seen to hold, a lower bound of those it holds later. Pure.

use std::collections::BTreeMap;

use counter_node_protocol::Report;

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
        let now: BTreeMap<_, _> = report.replicas.iter().map(|(id, total)| (id, total.operations)).collect();
        for (replica, &before) in &self.0 {
            let now = now.get(replica).copied().unwrap_or_default();
            if now < before {
                return Err(Backwards { replica: replica.clone(), before, now });
            }
        }
        self.0 = now.into_iter().map(|(replica, operations)| (replica.clone(), operations)).collect();
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
    use counter_cluster::Total;

    use super::*;

    fn report(replicas: &[(&str, u128)]) -> Report {
        let total = |operations| Total { value: 0, operations };
        let replicas =
            replicas.iter().map(|(id, operations)| ((*id).to_owned(), total(*operations))).collect();
        Report {
            names: 0,
            total: total(0),
            replicas,
            peers: Vec::new(),
            unanswered: Vec::new(),
            forks: Vec::new(),
            alarm: None,
        }
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
