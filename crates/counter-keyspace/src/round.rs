use counter_protocol::Count;

/// Counters with their current state, in a form that costs no allocation per name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryPage {
    /// Names, one after the other.
    names: Vec<u8>,
    entries: Vec<PageEntry>,
}

/// Entry of an [`EntryPage`] without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageEntry {
    /// Offset in `names` at which the name ends.
    name_end: usize,
    count: Count,
    deadline_ms: Option<u64>,
}

/// State of a counter at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name of the counter.
    pub name: &'a [u8],
    /// Value and number of operations so far.
    pub count: Count,
    /// Time at which it expires, in milliseconds since the Unix epoch, if it does.
    pub deadline_ms: Option<u64>,
}

impl EntryPage {
    /// Appends an entry.
    pub fn push(&mut self, entry: Entry<'_>) {
        self.names.extend_from_slice(entry.name);
        let Entry { count, deadline_ms, .. } = entry;
        self.entries.push(PageEntry { name_end: self.names.len(), count, deadline_ms });
    }

    /// Returns the length of all names, in bytes.
    #[must_use]
    pub const fn name_bytes(&self) -> usize {
        self.names.len()
    }

    /// Returns the number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the entries in the order in which they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().scan(0, |start, entry| {
            let name = &self.names[*start..entry.name_end];
            *start = entry.name_end;
            Some(Entry { name, count: entry.count, deadline_ms: entry.deadline_ms })
        })
    }
}

impl<'a> Extend<Entry<'a>> for EntryPage {
    fn extend<T: IntoIterator<Item = Entry<'a>>>(&mut self, entries: T) {
        entries.into_iter().for_each(|entry| self.push(entry));
    }
}

/// Part of a round of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundPage {
    /// Set if whoever applies the round has to forget all of the shard first, earlier pages of the round included.
    /// Usually in the first page of a round; in a later one if too many counters were removed meanwhile.
    pub reset: bool,
    /// Counters that have changed, with their state when the page was made.
    pub changed: EntryPage,
    /// Number of changed counters that are left for later pages of the round.
    pub left: usize,
    /// Set in the last page of the round: what makes the round complete.
    pub end: Option<RoundEnd>,
}

/// The completion of one shard's round. Together with the round's pages it is the state of the shard at one moment.
///
/// Apply `removed` before the entries of the page that it comes with, and behind those of earlier pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundEnd {
    /// Names of the counters that have been removed and do not exist again.
    pub removed: Vec<Box<[u8]>>,
    /// Records of the sessions that have changed.
    pub sessions: Vec<(SessionId, SessionRecord)>,
    /// Sessions below this one have ended, and their records are to be forgotten.
    pub session_floor: SessionId,
    /// Totals of the shard, for comparison.
    pub totals: ShardTotals,
    /// Version of the shard: the number of messages that it has handled and that may have changed it. Everything that
    /// was answered with this version or a smaller one is in this round or an earlier one.
    pub version: u64,
    /// Clock of the shard in milliseconds since the Unix epoch. It never goes back.
    pub clock_ms: u64,
}

/// Totals of a shard over all counters that are in its table, expired or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    /// Number of counters.
    pub names: u64,
    /// Sum of the values.
    pub value: i128,
    /// Sum of the operations.
    pub operations: u128,
    /// Number of rejected operations.
    pub rejected_operations: u128,
    /// Number of session records.
    pub sessions: u64,
    /// Number of counters that have a deadline.
    pub deadlines: u64,
}

/// Identifies a session. Sessions of a later incarnation of the node, and later ones of the same, are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// Incarnation of the node that opened the session.
    pub incarnation: u64,
    /// Number of the session in its incarnation.
    pub number: u64,
}

/// Latest request of a session that has reached a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Sequence number of the request.
    pub sequence: u64,
    /// Checksum of the whole request.
    pub fingerprint: u64,
    /// Number of the request's operations that this shard has applied or rejected.
    pub done: u32,
    /// Outcomes of these operations, empty for a large batch.
    pub outcomes: Vec<Outcome>,
}

/// Outcome of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The counter had or has this value, depending on the operation; `None` if it does not or did not exist.
    Value(Option<i64>),
    /// The operation would have taken the value out of range and has changed nothing. The counter has this value.
    OutOfRange(i64),
    /// The counter has been removed and had this value and number of operations; `None` if it did not exist.
    Removed(Option<Count>),
    /// The counter had this deadline before, in milliseconds since the Unix epoch; `None` if it had none.
    Deadline(Option<u64>),
    /// The counter expires after this time in milliseconds; `None` if it does not.
    Ttl(Option<u64>),
    /// The operation has been applied, in a batch too large for its outcomes to be kept.
    Applied,
    /// The counter has this value after an amount was added, which may be another one than was asked for.
    Added {
        /// New value.
        value: i64,
        /// Amount that was added.
        amount: i64,
    },
    /// The operation would have created a counter beyond the limit, and has changed nothing.
    Full,
    /// The counter has this value and number of operations; `None` if it does not exist.
    Count(Option<Count>),
}
