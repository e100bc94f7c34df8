//! Places of accepted connections whose peers have not authenticated.
//!
//! A stranger can take all places, again and again, so a newcomer is never turned away: an older connection is evicted.
//! But each connection has time to authenticate first, however fast newcomers come; they wait in the system's queue
//! meanwhile. Connections that have introduced themselves are evicted last, so with TLS no stranger can evict a peer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// Minimum time until a connection is evicted, and again from its introduction.
///
/// It is many times the duration of a proof. A crowd delays a newcomer by this for each time that it fills the places
/// before the newcomer's turn.
const GRACE: Duration = Duration::from_millis(500);

/// Shared set of places.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<Places>);

#[derive(Debug)]
struct Places {
    queue: Mutex<Queue<Occupant>>,
    /// Notified when another connection may be the next to evict, or none.
    changed: Notify,
}

/// A connection that has a place; dropping it evicts the connection.
#[derive(Debug)]
struct Occupant {
    since: Instant,
    _evict: oneshot::Sender<Infallible>,
}

/// Place of a connection; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    network: IpAddr,
    rank: Rank,
    evicted: oneshot::Receiver<Infallible>,
}

impl Slots {
    /// Makes `limit` places, of which one address can have `per_address`.
    pub(crate) fn new(limit: usize, per_address: usize) -> Self {
        Self(Arc::new(Places { queue: Mutex::new(Queue::new(limit, per_address)), changed: Notify::new() }))
    }

    /// Gives a place to a connection from an address, even beyond the limits.
    pub(crate) fn enter(&self, address: IpAddr) -> Slot {
        let (evict, evicted) = oneshot::channel();
        let occupant = Occupant { since: Instant::now(), _evict: evict };
        let network = network(address);
        let rank = self.with(|queue| queue.enter(network, occupant));
        Slot { slots: self.clone(), network, rank, evicted }
    }

    /// Returns true if a connection has to be evicted.
    pub(crate) fn are_crowded(&self) -> bool {
        self.with(|queue| queue.next_to_go().is_some())
    }

    /// Evicts one connection when its minimum time is over, unless there is room by then.
    pub(crate) async fn make_room(&self) {
        let due = || self.with(|queue| queue.next_to_go().map(|next| next.since + GRACE));
        while let Some(due) = due() {
            if due <= Instant::now() {
                self.with(Queue::evict);
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.0.changed.notified() => {}
            }
        }
    }

    /// Locks the queue. A poisoned lock is no harm, since no change can leave the queue half done.
    fn with<T>(&self, change: impl FnOnce(&mut Queue<Occupant>) -> T) -> T {
        change(&mut self.0.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Slot {
    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&mut self) {
        let _ = (&mut self.evicted).await;
    }

    /// Moves the connection behind those that have not introduced themselves, and gives it its minimum time once more.
    pub(crate) fn introduced(&mut self) {
        self.rank = self.slots.with(|queue| {
            let raised = |occupant| Occupant { since: Instant::now(), ..occupant };
            queue.introduce(self.network, self.rank, raised)
        });
        self.slots.0.changed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.with(|queue| queue.leave(self.network, self.rank));
        self.slots.0.changed.notify_one();
    }
}

/// Returns the network that counts as one address: with IPv6, the smallest that a provider gives to one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Order in which the connections of a network are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    introduced: bool,
    /// Ascends, so the smallest is that of the oldest.
    number: u64,
}

/// Connections by network and rank.
#[derive(Debug)]
struct Queue<T> {
    limit: usize,
    per_address: usize,
    /// Has no networks without connections.
    by_network: HashMap<IpAddr, BTreeMap<Rank, T>>,
    next: u64,
}

impl<T> Queue<T> {
    fn new(limit: usize, per_address: usize) -> Self {
        Self { limit, per_address, by_network: HashMap::new(), next: 0 }
    }

    fn enter(&mut self, network: IpAddr, connection: T) -> Rank {
        let rank = Rank { introduced: false, number: self.next };
        self.next += 1;
        self.by_network.entry(network).or_default().insert(rank, connection);
        rank
    }

    /// Raises a connection's rank. Does nothing to a connection that has been evicted.
    fn introduce(&mut self, network: IpAddr, rank: Rank, change: impl FnOnce(T) -> T) -> Rank {
        let introduced = Rank { introduced: true, ..rank };
        if let Some(connections) = self.by_network.get_mut(&network)
            && let Some(connection) = connections.remove(&rank)
        {
            connections.insert(introduced, change(connection));
        }
        introduced
    }

    fn leave(&mut self, network: IpAddr, rank: Rank) {
        self.change(network, |connections| connections.remove(&rank));
    }

    /// Returns the connection to evict if there are too many: the first one of the network with the most.
    fn next_to_go(&self) -> Option<&T> {
        let (_, connections) = self.by_network.get_key_value(&self.crowded()?)?;
        connections.first_key_value().map(|(_, connection)| connection)
    }

    fn evict(&mut self) -> Option<T> {
        self.change(self.crowded()?, |connections| connections.pop_first().map(|(_, connection)| connection))
    }

    /// Returns the network with the most connections, if it or all have too many. Of several with as many, it is the
    /// one whose turn comes first.
    fn crowded(&self) -> Option<IpAddr> {
        let key = |connections: &BTreeMap<Rank, T>| {
            (connections.len(), Reverse(connections.first_key_value().map(|(&rank, _)| rank)))
        };
        let (&network, most) = self.by_network.iter().max_by_key(|(_, connections)| key(connections))?;
        let all = self.by_network.values().map(BTreeMap::len).sum::<usize>();
        (most.len() > self.per_address || all > self.limit).then_some(network)
    }

    fn change(
        &mut self,
        network: IpAddr,
        take: impl FnOnce(&mut BTreeMap<Rank, T>) -> Option<T>,
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
        let enter = |(number, &last): (usize, &u8)| {
            queue.enter([10, 0, 0, last].into(), number);
            queue.evict()
        };
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
            let rank = queue.enter([10, 0, 0, 1].into(), ());
            assert_eq!(queue.evict(), None);
            queue.leave([10, 0, 0, 1].into(), rank);
            assert!(queue.by_network.is_empty());
        }
    }

    #[test]
    fn who_has_introduced_itself_goes_after_all_who_have_not() {
        let mut queue = Queue::new(2, 2);
        let from = [10, 0, 0, 1].into();
        let first = queue.enter(from, 0);
        queue.introduce(from, first, |first| first);
        assert_eq!(evicted(&mut queue, &[1, 1, 1]), [None, Some(0), Some(1)]);
        assert_eq!(queue.next_to_go(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_to_go_has_its_time_and_frees_no_second_place() {
        let slots = Slots::new(1, 1);
        let mut first = slots.enter([10, 0, 0, 1].into());
        assert!(!slots.are_crowded());
        sleep(GRACE / 4).await;
        let _second = slots.enter([10, 0, 0, 2].into());
        let start = Instant::now();
        tokio::join!(first.evicted(), slots.make_room());
        assert_eq!(start.elapsed(), GRACE / 4 * 3);
        first.introduced();
        drop(first);
        assert!(!slots.are_crowded());
        let _third = slots.enter([10, 0, 0, 3].into());
        assert!(slots.are_crowded());
    }

    #[tokio::test(start_paused = true)]
    async fn who_introduces_itself_while_it_has_to_go_has_its_time_once_more() {
        let slots = Slots::new(1, 1);
        let [mut first, mut second] = [(); 2].map(|()| slots.enter([10, 0, 0, 1].into()));
        let start = Instant::now();
        let introduced = async {
            sleep(GRACE / 2).await;
            first.introduced();
        };
        tokio::join!(introduced, second.evicted(), slots.make_room());
        assert_eq!(start.elapsed(), GRACE);
        drop(second);
        let mut third = slots.enter([10, 0, 0, 1].into());
        third.introduced();
        tokio::join!(first.evicted(), slots.make_room());
        assert_eq!(start.elapsed(), GRACE / 2 * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_that_introduces_itself_is_waited_for_no_longer() {
        let slots = Slots::new(1, 1);
        let mut first = slots.enter([10, 0, 0, 1].into());
        first.introduced();
        sleep(GRACE).await;
        let mut newcomer = slots.enter([10, 0, 0, 1].into());
        let start = Instant::now();
        let introduced = async {
            tokio::task::yield_now().await;
            newcomer.introduced();
        };
        tokio::join!(slots.make_room(), introduced, first.evicted());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_to_go_if_another_leaves_in_time() {
        let slots = Slots::new(1, 1);
        let [_first, second] = [(); 2].map(|()| slots.enter([10, 0, 0, 1].into()));
        let leaves = async {
            sleep(GRACE / 2).await;
            drop(second);
        };
        let start = Instant::now();
        tokio::join!(leaves, slots.make_room());
        assert_eq!(start.elapsed(), GRACE / 2);
        let _third = slots.enter([10, 0, 0, 1].into());
        assert!(slots.are_crowded(), "the first has its place");
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
