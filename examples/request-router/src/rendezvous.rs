//! Assignment of clients to workers, pure: rendezvous hashing, also called highest random weight (Thaler and
//! Ravishankar, "Using name-based mappings to increase hit rates", 1998).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;

pub(crate) type ClientId = u64;
pub(crate) type WorkerId = usize;

/// Available workers. Each has a weight for each client, and serves those for which its weight is the highest.
///
/// *Invariant:* there is at least one. The last one stays though it may be gone: its clients wait for its successor.
#[derive(Debug, PartialEq)]
pub(crate) struct Rendezvous(BTreeSet<WorkerId>);

impl Rendezvous {
    pub(crate) fn new(workers: NonZeroUsize) -> Self {
        Self((0..workers.get()).collect())
    }

    pub(crate) fn add(&mut self, worker: WorkerId) {
        self.0.insert(worker);
    }

    pub(crate) fn remove(&mut self, worker: WorkerId) {
        if self.0.len() > 1 {
            self.0.remove(&worker);
        }
    }

    /// Returns all workers, from the one that serves this client to its last alternative.
    pub(crate) fn ranked(&self, client: ClientId) -> Vec<WorkerId> {
        let mut workers: Vec<_> = self.0.iter().copied().collect();
        // Without a random key, so that routers in other threads or processes of this program agree.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        workers.sort_by_cached_key(|worker| Reverse(hasher.hash_one((client, worker))));
        workers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workers(number: usize) -> Rendezvous {
        Rendezvous::new(NonZeroUsize::new(number).unwrap())
    }

    /// Returns the number of clients of each worker.
    fn load(rendezvous: &Rendezvous, clients: impl Iterator<Item = ClientId>) -> Vec<f64> {
        let mut load = vec![0.0; rendezvous.0.last().map_or(0, |last| last + 1)];
        clients.for_each(|client| load[rendezvous.ranked(client)[0]] += 1.0);
        load
    }

    #[test]
    fn the_last_worker_stays() {
        let mut rendezvous = workers(2);
        rendezvous.remove(0);
        rendezvous.remove(1);
        assert_eq!(rendezvous.ranked(7), [1]);
    }

    proptest! {
        #[test]
        fn removing_a_worker_moves_only_its_clients_each_to_its_next_worker(
            client: ClientId, (number, gone) in (2..20_usize).prop_flat_map(|n| (Just(n), 0..n)),
        ) {
            let mut rendezvous = workers(number);
            let before = rendezvous.ranked(client);
            rendezvous.remove(gone);
            let others: Vec<_> = before.iter().copied().filter(|&worker| worker != gone).collect();
            prop_assert_eq!(rendezvous.ranked(client), others);
            rendezvous.add(gone);
            prop_assert_eq!(rendezvous.ranked(client), before);
        }

        /// Allows seven standard deviations of a random assignment.
        #[test]
        fn the_load_is_even_and_a_removed_workers_clients_spread_evenly(
            first in 0..ClientId::MAX / 2, number in 3..9_usize, gone in 0..3_usize,
        ) {
            let (mut rendezvous, clients) = (workers(number), first..first + 2_000);
            let is_even = |load: &[f64]| {
                let mean = load.iter().sum::<f64>() / load.len() as f64;
                load.iter().all(|one| (one - mean).abs() < 7.0 * mean.sqrt())
            };
            prop_assert!(is_even(&load(&rendezvous, clients.clone())));
            let orphans: Vec<_> = clients.filter(|&client| rendezvous.ranked(client)[0] == gone).collect();
            rendezvous.remove(gone);
            let mut heirs = load(&rendezvous, orphans.into_iter());
            if gone < heirs.len() {
                heirs.remove(gone);
            }
            prop_assert!(is_even(&heirs));
        }
    }
}
