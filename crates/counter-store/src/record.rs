//! Records: what the payloads of frames consist of.
//!
//! A record is the number of its shard (varint), a byte for its kind, its length (4 bytes) and its body. Records of one
//! shard apply in order; those of different shards do not depend on one another.

mod columns;
mod session;

use counter_keyspace::{Entry, EntryPage, RoundEnd, RoundPage, SessionId, SessionRecord, ShardTotals};
use counter_protocol::Count;

use crate::bytes::{Malformed, Reader, put, put_signed, put_wide};
use crate::replicas::{ColumnTotals, Member, ReplicaKey};

/// Length from which a payload is full, in bytes. One more entry, with the longest name, still fits. In tests, rounds
/// of a few counters are to be several frames.
pub(crate) const FULL_BYTES: usize = if cfg!(test) { 200 } else { 256 << 10 };

/// Kinds of records.
const RESET: u8 = 1;
const ENTRIES: u8 = 2;
const REMOVED: u8 = 3;
const SESSIONS: u8 = 4;
const END: u8 = 5;
const FLOOR: u8 = 6;
const OPENED: u8 = 7;
const MEMBER: u8 = 8;
const COLUMN: u8 = 9;
const COLUMN_END: u8 = 10;

/// Bits in front of an entry's name, below its length.
const HAS_DEADLINE: u64 = 1;
const HAS_VALUE: u64 = 2;
const FLAG_BITS: u32 = 2;

/// State of a shard at the end of a round, besides its counters and session records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardEnd {
    pub(crate) totals: ShardTotals,
    pub(crate) session_floor: SessionId,
    pub(crate) clock_ms: u64,
}

impl From<&RoundEnd> for ShardEnd {
    fn from(end: &RoundEnd) -> Self {
        Self { totals: end.totals, session_floor: end.session_floor, clock_ms: end.clock_ms }
    }
}

/// Record without its shard.
#[derive(Clone, Debug)]
pub(crate) enum Record<'a> {
    /// Everything that is known of the shard is void.
    Reset,
    /// Counters with their state.
    Entries(List<'a>),
    /// Names of counters that no longer exist.
    Removed(List<'a>),
    /// Session records.
    Sessions(List<'a>),
    /// End of the shard's part of a round.
    End(ShardEnd),
    /// Floor of all shards' sessions. Its shard is 0 and of no meaning.
    Floor(SessionId),
    /// From here on the store counts as `own`. If `sealed` is set, what the shards hold becomes its column.
    Opened(Opened),
    /// Another store that this one replicates with.
    Member(Member),
    /// Entries of another replica. One without operations does not exist any more.
    Column(ReplicaKey, List<'a>),
    /// Totals of a column at the end of a round.
    ColumnEnd(ReplicaKey, ColumnTotals),
}

/// Replica that a store counts as from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) own: ReplicaKey,
    pub(crate) sealed: Option<ReplicaKey>,
}

/// Whom a record concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The shard that it names.
    Shard,
    /// All shards.
    Shards,
    /// All shards, and the columns.
    ShardsAndColumns,
    /// The columns.
    Columns,
}

/// Items of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a>(Reader<'a>);

/// Builds payloads of bounded length.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    /// Appends a page of a shard's round. Payloads that are full on the way go to `full`.
    pub(crate) fn page<E>(
        &mut self,
        shard: usize,
        page: &RoundPage,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if page.reset {
            self.record(shard, RESET, |_| {});
        }
        if let Some(end) = &page.end {
            let removed = end.removed.iter();
            self.list(shard, REMOVED, removed, |bytes, name| put_name(bytes, name, 0), full)?;
        }
        self.entries(shard, &page.changed, full)?;
        if let Some(end) = &page.end {
            self.sessions(shard, end.sessions.iter().map(|(id, record)| (*id, record)), full)?;
            self.end(shard, &ShardEnd::from(end));
        }
        Ok(())
    }

    /// Appends counters.
    pub(crate) fn entries<E>(
        &mut self,
        shard: usize,
        page: &EntryPage,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.list(shard, ENTRIES, page.iter(), put_entry, full)
    }

    /// Appends session records.
    pub(crate) fn sessions<'r, E>(
        &mut self,
        shard: usize,
        records: impl Iterator<Item = (SessionId, &'r SessionRecord)>,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.list(
            shard,
            SESSIONS,
            records,
            |bytes, (id, record)| session::put_record(bytes, id, record),
            full,
        )
    }

    /// Appends the end of a shard's part of a round.
    pub(crate) fn end(&mut self, shard: usize, end: &ShardEnd) {
        self.record(shard, END, |bytes| {
            let ShardTotals { names, value, operations, rejected_operations, sessions, deadlines } =
                end.totals;
            [names, sessions, deadlines, end.clock_ms].iter().for_each(|&number| put(bytes, number));
            put_id(bytes, end.session_floor);
            put_wide(bytes, value.cast_unsigned());
            put_wide(bytes, operations);
            put_wide(bytes, rejected_operations);
        });
    }

    /// Appends the floor of all shards' sessions.
    pub(crate) fn floor(&mut self, floor: SessionId) {
        self.record(0, FLOOR, |bytes| put_id(bytes, floor));
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    fn record(&mut self, shard: usize, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin(shard, kind);
        body(&mut self.bytes);
        self.finish(start);
    }

    fn list<T, E>(
        &mut self,
        shard: usize,
        kind: u8,
        items: impl Iterator<Item = T>,
        mut put_item: impl FnMut(&mut Vec<u8>, T),
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut items = items.peekable();
        while items.peek().is_some() {
            let start = self.begin(shard, kind);
            while self.bytes.len() < FULL_BYTES {
                let Some(item) = items.next() else { break };
                put_item(&mut self.bytes, item);
            }
            self.finish(start);
            self.hand_on_if_full(full)?;
        }
        Ok(())
    }

    fn hand_on_if_full<E>(&mut self, full: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.bytes.len() >= FULL_BYTES {
            full(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Begins a record, and returns where its body begins.
    fn begin(&mut self, shard: usize, kind: u8) -> usize {
        put(&mut self.bytes, shard as u64);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.len()
    }

    fn finish(&mut self, start: usize) {
        let len = u32::try_from(self.bytes.len() - start).expect("a record is bounded");
        self.bytes[start - 4..start].copy_from_slice(&len.to_le_bytes());
    }
}

/// Splits a payload into records: shard, and what [`parse`] takes.
pub(crate) fn split(payload: &[u8]) -> impl Iterator<Item = Result<(usize, &[u8]), Malformed>> {
    let mut rest = Reader(payload);
    std::iter::from_fn(move || {
        if rest.0.is_empty() {
            return None;
        }
        let next = next_record(&mut rest);
        if next.is_err() {
            rest = Reader(&[]);
        }
        Some(next)
    })
}

fn next_record<'a>(rest: &mut Reader<'a>) -> Result<(usize, &'a [u8]), Malformed> {
    let shard = rest.small()?;
    let record = *rest;
    rest.byte()?;
    let len = usize::try_from(u32::from_le_bytes(rest.array()?)).map_err(|_| Malformed)?;
    rest.take(len)?;
    Ok((shard, &record.0[..5 + len]))
}

/// Returns whom a record concerns.
pub(crate) fn scope(record: &[u8]) -> Scope {
    match record.first() {
        Some(&FLOOR) => Scope::Shards,
        Some(&OPENED) => Scope::ShardsAndColumns,
        Some(&(MEMBER | COLUMN | COLUMN_END)) => Scope::Columns,
        _ => Scope::Shard,
    }
}

/// Reads a record.
pub(crate) fn parse(record: &[u8]) -> Result<Record<'_>, Malformed> {
    let (&[kind, ..], body) = record.split_first_chunk::<5>().ok_or(Malformed)?;
    let mut body = Reader(body);
    match kind {
        RESET => Ok(Record::Reset),
        ENTRIES => Ok(Record::Entries(List(body))),
        REMOVED => Ok(Record::Removed(List(body))),
        SESSIONS => Ok(Record::Sessions(List(body))),
        END => parse_end(&mut body).map(Record::End),
        FLOOR => take_id(&mut body).map(Record::Floor),
        OPENED => columns::take_opened(&mut body).map(Record::Opened),
        MEMBER => columns::take_member(&mut body).map(Record::Member),
        COLUMN => Ok(Record::Column(columns::take_replica(&mut body)?, List(body))),
        COLUMN_END => columns::take_end(&mut body),
        _ => Err(Malformed),
    }
}

impl<'a> List<'a> {
    /// Reads entries one by one.
    pub(crate) fn entries(self) -> impl Iterator<Item = Result<Entry<'a>, Malformed>> {
        self.items(take_entry)
    }

    /// Reads names one by one.
    pub(crate) fn names(self) -> impl Iterator<Item = Result<&'a [u8], Malformed>> {
        self.items(|items| take_name(items).map(|(name, _)| name))
    }

    /// Reads session records one by one.
    pub(crate) fn sessions(self) -> impl Iterator<Item = Result<(SessionId, SessionRecord), Malformed>> {
        self.items(session::take_record)
    }

    /// Reads items until none is left or one is malformed.
    fn items<T>(
        self,
        take: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> impl Iterator<Item = Result<T, Malformed>> {
        let Self(mut items) = self;
        std::iter::from_fn(move || {
            if items.0.is_empty() {
                return None;
            }
            let item = take(&mut items);
            if item.is_err() {
                items = Reader(&[]);
            }
            Some(item)
        })
    }
}

#[inline]
fn put_name(into: &mut Vec<u8>, name: &[u8], flags: u64) {
    put(into, (name.len() as u64) << FLAG_BITS | flags);
    into.extend_from_slice(name);
}

#[inline]
fn take_name<'a>(items: &mut Reader<'a>) -> Result<(&'a [u8], u64), Malformed> {
    let number = items.number()?;
    let len = usize::try_from(number >> FLAG_BITS).map_err(|_| Malformed)?;
    Ok((items.take(len)?, number & ((1 << FLAG_BITS) - 1)))
}

/// Appends an entry: name, operations, the value unless it equals the operations (most counters count by one), and the
/// deadline if there is one.
#[inline]
fn put_entry(into: &mut Vec<u8>, Entry { name, count, deadline_ms }: Entry<'_>) {
    let has_value = u64::try_from(count.value) != Ok(count.operations);
    let flags = if has_value { HAS_VALUE } else { 0 } | if deadline_ms.is_some() { HAS_DEADLINE } else { 0 };
    put_name(into, name, flags);
    put(into, count.operations);
    if has_value {
        put_signed(into, count.value);
    }
    if let Some(deadline_ms) = deadline_ms {
        put(into, deadline_ms);
    }
}

#[inline]
fn take_entry<'a>(items: &mut Reader<'a>) -> Result<Entry<'a>, Malformed> {
    let (name, flags) = take_name(items)?;
    let operations = items.number()?;
    let value = match flags & HAS_VALUE {
        0 => i64::try_from(operations).map_err(|_| Malformed)?,
        _ => items.signed()?,
    };
    let deadline_ms = if flags & HAS_DEADLINE == 0 { None } else { Some(items.number()?) };
    Ok(Entry { name, count: Count { value, operations }, deadline_ms })
}

fn put_id(into: &mut Vec<u8>, id: SessionId) {
    put(into, id.incarnation);
    put(into, id.number);
}

fn take_id(items: &mut Reader<'_>) -> Result<SessionId, Malformed> {
    Ok(SessionId { incarnation: items.number()?, number: items.number()? })
}

fn parse_end(body: &mut Reader<'_>) -> Result<ShardEnd, Malformed> {
    let [names, sessions, deadlines, clock_ms] =
        [body.number()?, body.number()?, body.number()?, body.number()?];
    let session_floor = take_id(body)?;
    let [value, operations, rejected_operations] = [body.wide()?, body.wide()?, body.wide()?];
    body.end()?;
    let value = value.cast_signed();
    let totals = ShardTotals { names, value, operations, rejected_operations, sessions, deadlines };
    Ok(ShardEnd { totals, session_floor, clock_ms })
}

#[cfg(test)]
mod tests;
