//! Schedules of simulations: faults and operations of clients, as plain data.

mod generate;

use std::fmt;

use counter_protocol::CounterName;

/// Everything that decides a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Seed of all random numbers, also of those that are drawn while it runs.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// True if the nodes have disks.
    pub is_durable: bool,
    /// True if there is one node, which has never had a peer: its counters live once, and take any operation.
    pub is_alone: bool,
    /// Number of clients.
    pub clients: usize,
    /// Number of counters.
    pub names: usize,
    /// Length of a log that a snapshot is worth, in bytes.
    pub min_snapshot_bytes: u64,
    /// Time at which all faults are over, in milliseconds.
    pub end_ms: u64,
    /// Faults and operations, in order.
    pub events: Vec<Event>,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Position in the schedule that the seed generates, by which it is named.
    pub number: usize,
    /// Time, in milliseconds.
    pub at_ms: u64,
    /// Fault or operation.
    pub action: Action,
}

/// Fault, or operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Fault(Fault),
    Operation(Operation),
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Messages from one node to another are lost, repeated and late.
    #[expect(missing_docs, reason = "the names say it")]
    Weather { from: usize, to: usize, weather: Weather, for_ms: u64 },
    /// Nothing gets from the nodes of one side, as bits, to the others, nor back unless it is one-way.
    #[expect(missing_docs, reason = "the names say it")]
    Partition { side: u32, is_one_way: bool, disconnects: bool, for_ms: u64 },
    /// Nothing gets into a node or out of it until later.
    #[expect(missing_docs, reason = "the names say it")]
    Freeze { node: usize, for_ms: u64 },
    /// A node ends, at once or within a later operation of the network or its disk, and starts again. Its next life may
    /// end as soon, too.
    #[expect(missing_docs, reason = "the names say it")]
    Crash {
        node: usize,
        after_operations: Option<u32>,
        down_ms: u64,
        is_power_failure: bool,
        again_after: Option<u32>,
    },
    /// A node's disk fails, at a later operation.
    #[expect(missing_docs, reason = "the names say it")]
    Disk { node: usize, after_operations: u64, is_full: bool, for_ms: u64 },
    /// Each operation of a node's disk takes up to this long.
    #[expect(missing_docs, reason = "the names say it")]
    SlowDisk { node: usize, up_to_ms: u64, for_ms: u64 },
    /// Bits of a node's disk rot. The node crashes, and what is found then is what counts.
    #[expect(missing_docs, reason = "the names say it")]
    Rot { node: usize, place: u64, down_ms: u64 },
    /// An actor of a node is killed.
    #[expect(missing_docs, reason = "the names say it")]
    Kill { node: usize, victim: Victim },
    /// A shard of a node panics when it looks at its clock, after as many looks at the clock of that node.
    #[expect(missing_docs, reason = "the names say it")]
    Panic { node: usize, after_looks: u32 },
    /// A node's disk is copied at a later operation, as a crash would leave it, and the copy is recovered: once in one
    /// go, and once after a recovery that ends at some operation.
    #[expect(missing_docs, reason = "the names say it")]
    Copy { node: usize, after_operations: u32, is_power_failure: bool, recovery_ends_after: u64 },
    /// The clock of a node jumps.
    #[expect(missing_docs, reason = "the names say it")]
    Clock { node: usize, by_ms: i64 },
}

/// Behaviour of the network in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Maximum delay, in milliseconds.
    pub delay_ms: u64,
    /// Messages that are lost, in percent.
    pub loss: u8,
    /// Requests that arrive twice, in percent.
    pub duplicates: u8,
}

/// Actor of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Victim {
    Shard(usize),
    Replicator,
    Endpoint,
}

/// Operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Number of the client.
    pub client: usize,
    /// Number of the node.
    pub node: usize,
    /// Kind of the operation.
    pub kind: OperationKind,
    /// Guarantee that it waits for.
    pub level: Level,
    /// Time after which the client gives it up, in milliseconds.
    pub patience_ms: u64,
}

/// Guarantee of an acknowledgement, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Memory,
    Fsync,
    Replicated,
}

/// Kind of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OperationKind {
    /// Adds to a counter, without an outcome. Whoever hangs up goes on with another handle.
    Increment { name: usize, amount: i64, hangs_up: bool },
    /// Adds to a counter, with an outcome.
    Add { name: usize, amount: i64 },
    /// Adds to counters as a request of a session, and repeats it until there is an outcome. The first answers are
    /// lost.
    Session { names: Vec<usize>, amount: i64, lost_answers: u32 },
    /// Changes a counter that lives once, as a request of a session or not.
    Change { name: usize, change: counter_keyspace::Operation, is_in_session: bool },
    /// Reads a counter.
    Read { name: usize },
    /// Reads a counter after asking all nodes.
    Refresh { name: usize },
}

impl Schedule {
    /// Returns the schedule with these events only.
    #[must_use]
    pub fn only(&self, events: Vec<Event>) -> Self {
        Self { events, ..self.clone() }
    }
}

/// Returns the name of a counter.
pub(crate) fn counter(number: usize) -> CounterName {
    CounterName::new(format!("c{number}")).expect("it is short")
}

/// Returns true if a counter's operations only add.
pub(crate) fn is_increment_only(name: &CounterName) -> bool {
    name.as_bytes().last().is_some_and(|digit| digit % 2 == 0)
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, is_durable, is_alone, clients, names, min_snapshot_bytes, end_ms, events } =
            self;
        let kind = match (is_alone, is_durable) {
            (true, _) => "durable node that is alone",
            (false, true) => "durable nodes",
            (false, false) => "nodes in memory",
        };
        writeln!(
            f,
            "seed {seed}: {nodes} {kind}, {clients} clients, {names} names, snapshots from {min_snapshot_bytes} bytes \
             on, faults end at {end_ms} ms"
        )?;
        events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ms ", self.number, self.at_ms)?;
        match &self.action {
            Action::Fault(fault) => write!(f, "{fault:?}"),
            Action::Operation(operation) => write!(f, "{operation:?}"),
        }
    }
}
