//! Places of accepted connections that have not proved themselves. A stranger can take as many as there are, again and
//! again, so a newcomer is never turned away: another has to go. But each has time to prove itself before it goes,
//! however fast newcomers come; they wait in the system's queue meanwhile.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// Time that a connection has at least: many times what a proof takes. All places change hands once in it at most, so a
/// crowd delays a newcomer by this for each time that it fills them before its turn.
const GRACE: Duration = Duration::from_millis(500);

/// The places, of which clones show the same.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Mutex<Queue<Occupant>>>);

/// Connection that has a place; dropping this evicts it.
#[derive(Debug)]
pub(super) struct Occupant {
    since: Instant,
    _evict: oneshot::Sender<Infallible>,
}

/// Place of a connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    network: IpAddr,
    number: u64,
    evicted: oneshot::Receiver<Infallible>,
}

impl Slots {
    /// So many places, and of them so many for one address.
    pub(super) fn new(limit: usize, per_address: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue::new(limit, per_address))))
    }

    /// A place for a connection from an address, and the other connection that has to go for it, if one has to.
    pub(super) fn enter(&self, address: IpAddr) -> (Slot, Option<Occupant>) {
        let (evict, evicted) = oneshot::channel();
        let occupant = Occupant { since: Instant::now(), _evict: evict };
        let network = network(address);
        let (number, other) = self.with(|queue| queue.enter(network, occupant));
        (Slot { slots: self.clone(), network, number, evicted }, other)
    }

    /// No code panics with the lock held.
    fn with<T>(&self, change: impl FnOnce(&mut Queue<Occupant>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Occupant {
    /// Evicts the connection, but not before it had its time.
    pub(super) async fn evict(self) {
        sleep_until(self.since + GRACE).await;
    }
}

impl Slot {
    /// Waits until the place is lost to another connection.
    pub(super) async fn evicted(&mut self) {
        let _ = (&mut self.evicted).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.with(|queue| queue.leave(self.network, self.number));
    }
}

/// Network that counts as one address: of IPv6, the smallest that a provider gives to one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Connections by network and age.
#[derive(Debug)]
struct Queue<T> {
    limit: usize,
    per_address: usize,
    /// Without networks that have none. The numbers ascend, so the first is the oldest.
    by_network: HashMap<IpAddr, BTreeMap<u64, T>>,
    next: u64,
}

impl<T> Queue<T> {
    fn new(limit: usize, per_address: usize) -> Self {
        Self { limit, per_address, by_network: HashMap::new(), next: 0 }
    }

    /// Takes a connection in. If there are too many then, the oldest one of the network with the most has to go.
    fn enter(&mut self, network: IpAddr, connection: T) -> (u64, Option<T>) {
        let number = self.next;
        self.next += 1;
        let own = self.by_network.entry(network).or_default();
        own.insert(number, connection);
        let crowded = if own.len() > self.per_address {
            Some(network)
        } else if self.by_network.values().map(BTreeMap::len).sum::<usize>() > self.limit {
            self.most_crowded()
        } else {
            None
        };
        (number, crowded.and_then(|network| self.evict_oldest(network)))
    }

    fn leave(&mut self, network: IpAddr, number: u64) {
        self.change(network, |connections| connections.remove(&number));
    }

    /// Of networks with as many, the one with the oldest connection.
    fn most_crowded(&self) -> Option<IpAddr> {
        let rank = |connections: &BTreeMap<u64, T>| {
            (connections.len(), Reverse(connections.first_key_value().map(|(&number, _)| number)))
        };
        self.by_network.iter().max_by_key(|(_, connections)| rank(connections)).map(|(&network, _)| network)
    }

    fn evict_oldest(&mut self, network: IpAddr) -> Option<T> {
        self.change(network, |connections| connections.pop_first().map(|(_, connection)| connection))
    }

    fn change(
        &mut self,
        network: IpAddr,
        take: impl FnOnce(&mut BTreeMap<u64, T>) -> Option<T>,
    ) -> Option<T> {
        let connections = self.by_network.get_mut(&network)?;
        let taken = take(connections);
        if connections.is_empty() {
            self.by_network.remove(&network);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Takes connections in from addresses that end in these numbers, and returns which had to go.
    fn evicted(queue: &mut Queue<usize>, addresses: &[u8]) -> Vec<Option<usize>> {
        let enter = |(number, &last): (usize, &u8)| queue.enter([10, 0, 0, last].into(), number).1;
        addresses.iter().enumerate().map(enter).collect()
    }

    #[test]
    fn the_oldest_of_the_address_with_the_most_has_to_go() {
        let mut queue = Queue::new(4, 4);
        assert_eq!(
            evicted(&mut queue, &[1, 2, 2, 3, 4, 4, 4, 4]),
            [None, None, None, None, Some(1), Some(4), Some(5), Some(6)],
        );
    }

    #[test]
    fn a_lone_connection_outlives_any_number_from_elsewhere() {
        let mut queue = Queue::new(8, 4);
        let crowd: Vec<u8> = std::iter::once(1).chain((2..9).cycle().take(1000)).collect();
        assert!(!evicted(&mut queue, &crowd).contains(&Some(0)));
    }

    #[test]
    fn an_address_that_is_at_its_limit_gives_up_its_own() {
        let mut queue = Queue::new(100, 2);
        assert_eq!(evicted(&mut queue, &[1, 2, 2, 2, 1, 1]), [None, None, None, Some(1), None, Some(0)]);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_leaves() {
        let mut queue = Queue::new(1, 1);
        for _ in 0..3 {
            let (number, evicted) = queue.enter([10, 0, 0, 1].into(), ());
            assert_eq!(evicted, None);
            queue.leave([10, 0, 0, 1].into(), number);
            assert!(queue.by_network.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_to_go_has_its_time_and_frees_no_second_place() {
        let slots = Slots::new(1, 1);
        let (mut first, nobody) = slots.enter([10, 0, 0, 1].into());
        assert!(nobody.is_none());
        sleep(GRACE / 4).await;
        let (_second, other) = slots.enter([10, 0, 0, 2].into());
        let start = Instant::now();
        tokio::join!(first.evicted(), other.unwrap().evict());
        assert_eq!(start.elapsed(), GRACE / 4 * 3);
        drop(first);
        assert!(slots.enter([10, 0, 0, 3].into()).1.is_some());
    }

    #[test]
    fn an_ipv6_address_counts_as_its_network_and_a_mapped_one_as_ipv4() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            let [one, other] = [one, other].map(|address| network(address.parse().unwrap()));
            assert_eq!(one == other, same, "{one} {other}");
        }
    }
}
