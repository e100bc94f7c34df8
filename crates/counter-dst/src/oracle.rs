//! Bounds of what the nodes may hold, as their clients know it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use counter_cluster::{ReplicaId, Total};
use counter_protocol::CounterName;
use ractor_transport::NodeName;

use crate::copies::Image;
use crate::linear::History;
use crate::message::Seen;
use crate::schedule::{Level, is_increment_only};

/// Sum of operations, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) value: i128,
    pub(crate) operations: u128,
}

/// Operations on one name in one life of a node.
#[derive(Clone, Debug, Default)]
struct Counted {
    /// Everything that a client has begun and that was not refused.
    begun: Tally,
    /// Operations that a shard has certainly applied.
    applied: Tally,
    /// Operations acknowledged at each level, from that of the node's disk on.
    durable: Tally,
    replicated: Tally,
    /// Most operations that others were told of.
    told: u128,
    /// Operations accepted from each client, but applied only before that client's next question.
    accepted: BTreeMap<usize, Tally>,
    /// Operations accepted from clients that have hung up since.
    left: Tally,
}

/// Knowledge of one life of a node.
#[derive(Debug, Default)]
struct Life {
    is_over: bool,
    /// The node's disk was replaced since.
    is_lost: bool,
    /// The node has no disk.
    is_volatile: bool,
    counted: BTreeMap<CounterName, Counted>,
}

/// State that the clients' operations allow.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    lives: BTreeMap<ReplicaId, Life>,
    /// Value of each entry that was ever seen, by replica, name and number of operations.
    values: HashMap<(ReplicaId, CounterName, u64), i64>,
    /// Most operations of each entry that a node has received, by the node.
    received: BTreeMap<(NodeName, ReplicaId, CounterName), u128>,
    /// Histories of counters that live once.
    pub(crate) histories: BTreeMap<CounterName, History>,
    /// Number of disks that were replaced.
    lost_disks: usize,
    /// Greatest reading of a name in each life of a node.
    readings: BTreeMap<(ReplicaId, CounterName), Tally>,
}

/// A promise that was broken.
pub(crate) type Violation = String;

/// Lower bound of a reading, noted when its client asks.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    at: ReplicaId,
    name: CounterName,
    least: Tally,
    own: Tally,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.value += other.value;
        self.operations += other.operations;
    }

    fn subtract(&mut self, other: Self) {
        self.value -= other.value;
        self.operations -= other.operations;
    }
}

impl From<Total> for Tally {
    fn from(Total { value, operations }: Total) -> Self {
        Self { value, operations }
    }
}

impl Oracle {
    pub(crate) fn born(&mut self, life: ReplicaId, is_volatile: bool) -> Result<(), Violation> {
        match self.lives.insert(life.clone(), Life { is_volatile, ..Life::default() }) {
            None => Ok(()),
            Some(_) => Err(format!("replica {life} was there before")),
        }
    }

    pub(crate) fn died(&mut self, life: &ReplicaId) {
        if let Some(life) = self.lives.get_mut(life) {
            life.is_over = true;
        }
        self.histories.values_mut().for_each(History::crashes);
    }

    /// A node has a new disk.
    pub(crate) fn lost_disk(&mut self, node: &NodeName) {
        let lives = self.lives.iter_mut().filter(|(replica, _)| replica.node == *node);
        lives.for_each(|(_, life)| life.is_lost = true);
        self.lost_disks += 1;
        self.histories.values_mut().for_each(History::begins_anew);
    }

    fn counted(&mut self, life: &ReplicaId, name: &CounterName) -> &mut Counted {
        self.lives.entry(life.clone()).or_default().counted.entry(name.clone()).or_default()
    }

    /// A client is about to count something.
    pub(crate) fn begun(&mut self, life: &ReplicaId, name: &CounterName, amount: Tally) {
        self.counted(life, name).begun.add(amount);
    }

    /// The node has refused it, and has counted nothing.
    pub(crate) fn refused(&mut self, life: &ReplicaId, name: &CounterName, amount: Tally) {
        self.counted(life, name).begun.subtract(amount);
    }

    /// The node has accepted it: it will be applied before the client's next question.
    pub(crate) fn accepted(&mut self, life: &ReplicaId, name: &CounterName, client: usize, amount: Tally) {
        self.counted(life, name).accepted.entry(client).or_default().add(amount);
    }

    /// A client has dropped the handle through which it has counted in this life of a node.
    pub(crate) fn hung_up(&mut self, life: &ReplicaId, client: usize) {
        let counted = self.lives.get_mut(life).into_iter().flat_map(|life| life.counted.values_mut());
        counted.for_each(|counted| counted.left.add(counted.accepted.remove(&client).unwrap_or_default()));
    }

    /// The node has applied it, and guarantees this.
    pub(crate) fn applied(
        &mut self,
        life: &ReplicaId,
        name: &CounterName,
        level: Level,
        amount: Tally,
    ) -> Result<(), Violation> {
        let counted = self.counted(life, name);
        counted.applied.add(amount);
        if level >= Level::Fsync {
            counted.durable.add(amount);
        }
        if level < Level::Replicated {
            return Ok(());
        }
        counted.replicated.add(amount);
        let acknowledged = counted.replicated.operations;
        let received = self.received.iter().filter(|((_, of, what), _)| of == life && what == name);
        let most = received.map(|(_, operations)| *operations).max().unwrap_or_default();
        if most < acknowledged {
            return Err(format!(
                "{acknowledged} operations on {name} of {life} are acknowledged, and {most} have arrived elsewhere"
            ));
        }
        Ok(())
    }

    /// A node has received an entry.
    pub(crate) fn received(&mut self, node: &NodeName, seen: &Seen) {
        let key = (node.clone(), seen.replica.clone(), seen.name.clone());
        let most = self.received.entry(key).or_default();
        *most = u128::from(seen.operations).max(*most);
    }

    /// A node has shut down and said that all others hold everything. Another one holds this number of operations of
    /// its last life.
    pub(crate) fn handed_over(&self, life: &ReplicaId, operations: u128) -> Result<(), Violation> {
        let counted = self.lives.get(life).into_iter().flat_map(|life| life.counted.values());
        let applied: u128 = counted.map(|counted| counted.applied.operations).sum();
        let is_enough = (operations >= applied).then_some(());
        is_enough.ok_or_else(|| format!("{life} has handed over {operations} of {applied} operations"))
    }

    /// Returns true if a disk was replaced.
    pub(crate) const fn has_lost_disks(&self) -> bool {
        self.lost_disks > 0
    }

    /// Returns what a node's disk must hold of earlier lives: what was acknowledged, and whatever others were told.
    fn on_disk(&self, node: &NodeName, name: Option<&CounterName>) -> u128 {
        self.durable(node, name, |life| life.is_over)
    }

    /// Returns what a node's disk must hold of some of its lives.
    fn durable(&self, node: &NodeName, name: Option<&CounterName>, of: impl Fn(&Life) -> bool) -> u128 {
        let lives = self.lives.iter().filter(|(replica, _)| replica.node == *node);
        let lives = lives.filter(|(_, life)| of(life) && !life.is_lost && !life.is_volatile);
        let counted = lives.flat_map(|(_, life)| &life.counted);
        let counted = counted.filter(|(of, _)| name.is_none_or(|name| *of == name));
        counted.map(|(_, counted)| counted.durable.operations.max(counted.told)).sum()
    }

    /// A node has recovered its disk, on which its earlier lives have these numbers of operations together.
    pub(crate) fn recovered(&self, node: &NodeName, operations: u128) -> Result<(), Violation> {
        let least = self.on_disk(node, None);
        let is_enough = (operations >= least).then_some(());
        is_enough.ok_or_else(|| format!("{node} recovers {operations} of at least {least} operations"))
    }

    /// A copy of a node's disk holds this.
    pub(crate) fn copied(&self, node: &NodeName, image: &Image) -> Result<(), Violation> {
        let lives = self.lives.iter().filter(|(replica, _)| replica.node == *node);
        let names: BTreeSet<_> = lives.flat_map(|(_, life)| life.counted.keys()).collect();
        for name in names {
            let (has, least) = (image.operations(node, name), self.durable(node, Some(name), |_| true));
            if has < least {
                return Err(format!("a copy has {has} of at least {least} operations on {name}"));
            }
        }
        for (name, history) in &self.histories {
            let counter = image.counter(name);
            if !history.may_be_on_disk(counter) {
                return Err(format!("no order of operations explains {counter:?} as {name} in a copy"));
            }
        }
        Ok(())
    }

    /// A client is about to read a name.
    pub(crate) fn asked(&mut self, at: &ReplicaId, name: &CounterName, client: usize) -> Asked {
        let recovered = self.on_disk(&at.node, Some(name));
        let counted = self.counted(at, name);
        let own = counted.accepted.get(&client).copied().unwrap_or_default();
        let mut least = counted.applied;
        least.add(own);
        least.operations += recovered;
        if let Some(earlier) = self.readings.get(&(at.clone(), name.clone())) {
            least.operations = least.operations.max(earlier.operations);
            least.value = least.value.max(earlier.value);
        }
        Asked { at: at.clone(), name: name.clone(), least, own }
    }

    /// The client has got its answer.
    pub(crate) fn read(&mut self, asked: &Asked, client: usize, reading: Total) -> Result<(), Violation> {
        let Asked { at, name, least, own } = asked;
        let counted = self.counted(at, name);
        if let Some(accepted) = counted.accepted.get_mut(&client) {
            accepted.subtract(*own);
            counted.applied.add(*own);
        }
        let reading = Tally::from(reading);
        let most = self.begun_everywhere(name);
        let last = self.readings.entry((at.clone(), name.clone())).or_default();
        last.operations = last.operations.max(reading.operations);
        last.value = last.value.max(reading.value);
        let is_within = |least, most| (least..=most).contains(&reading.operations);
        if !is_within(least.operations, most.operations) {
            return Err(format!(
                "{name} has {} operations at {at}, and not {} to {}",
                reading.operations, least.operations, most.operations
            ));
        }
        if is_increment_only(name) && !(least.value..=most.value).contains(&reading.value) {
            return Err(format!(
                "{name} is {} at {at}, and not {} to {}",
                reading.value, least.value, most.value
            ));
        }
        Ok(())
    }

    fn begun_everywhere(&self, name: &CounterName) -> Tally {
        let mut most = Tally::default();
        let lives = self.lives.values().filter_map(|life| life.counted.get(name));
        lives.for_each(|counted| most.add(counted.begun));
        most
    }

    /// An entry was seen on its way between nodes.
    pub(crate) fn seen(&mut self, seen: &Seen) -> Result<(), Violation> {
        let Seen { replica, name, value, operations } = seen;
        let (value, operations) = (*value, *operations);
        let Some(life) = self.lives.get(replica) else {
            return Err(format!("there is an entry of {replica}, which has never been"));
        };
        let begun = life.counted.get(name).map(|counted| counted.begun).unwrap_or_default();
        if u128::from(operations) > begun.operations {
            let sent = begun.operations;
            return Err(format!("{name} of {replica} has {operations} operations of {sent} that were sent"));
        }
        if is_increment_only(name) && i128::from(value) > begun.value {
            return Err(format!("{name} of {replica} is {value}, and {} was sent", begun.value));
        }
        if let Some(counted) = self.lives.get_mut(replica).and_then(|life| life.counted.get_mut(name)) {
            counted.told = counted.told.max(operations.into());
        }
        let first = *self.values.entry((replica.clone(), name.clone(), operations)).or_insert(value);
        if first != value {
            return Err(format!("{name} of {replica} is {first} and {value} after {operations} operations"));
        }
        Ok(())
    }

    /// Returns what all nodes must hold of a name in the end.
    pub(crate) fn finally(&self, name: &CounterName, total: Total) -> Result<(), Violation> {
        let (mut least, mut most) = (Tally::default(), Tally::default());
        for life in self.lives.values() {
            let Some(counted) = life.counted.get(name) else { continue };
            most.add(counted.begun);
            if !life.is_over {
                least.add(counted.applied);
                counted.accepted.values().for_each(|accepted| least.add(*accepted));
                least.add(counted.left);
            } else if !life.is_lost {
                least.add(counted.durable);
            } else if self.lost_disks <= 1 {
                least.add(counted.replicated);
            }
        }
        let total = Tally::from(total);
        if !(least.operations..=most.operations).contains(&total.operations) {
            let (least, most) = (least.operations, most.operations);
            return Err(format!(
                "{name} has {} operations in the end, and not {least} to {most}",
                total.operations
            ));
        }
        if least == most && total != least {
            return Err(format!("{name} is {} in the end, and not {}", total.value, least.value));
        }
        Ok(())
    }
}
