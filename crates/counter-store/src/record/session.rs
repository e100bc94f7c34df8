use counter_keyspace::{Outcome, SessionId, SessionRecord};
use counter_protocol::Count;

use crate::bytes::{Malformed, Reader, put, put_fixed, put_signed};

use super::{put_id, take_id};

/// Kinds of outcomes.
const VALUE: u8 = 0;
const OUT_OF_RANGE: u8 = 1;
const REMOVED: u8 = 2;
const DEADLINE: u8 = 3;
const TTL: u8 = 4;
const APPLIED: u8 = 5;
const ADDED: u8 = 6;
const FULL: u8 = 7;
const COUNT: u8 = 8;

/// Set in the kind if the outcome has what it may have.
const SOME: u8 = 0x80;

pub(super) fn put_record(into: &mut Vec<u8>, id: SessionId, record: &SessionRecord) {
    put_id(into, id);
    put(into, record.sequence);
    put_fixed(into, record.fingerprint);
    put(into, record.done.into());
    put(into, record.outcomes.len() as u64);
    record.outcomes.iter().for_each(|&outcome| put_outcome(into, outcome));
}

pub(super) fn take_record(items: &mut Reader<'_>) -> Result<(SessionId, SessionRecord), Malformed> {
    let id = take_id(items)?;
    let (sequence, fingerprint, done) = (items.number()?, items.fixed()?, items.small()?);
    let outcomes = items.number()?;
    let outcomes = (0..outcomes).map(|_| take_outcome(items)).collect::<Result<_, _>>()?;
    Ok((id, SessionRecord { sequence, fingerprint, done, outcomes }))
}

/// Returns a kind with the flag for something that may be there.
const fn kind(kind: u8, is_some: bool) -> u8 {
    if is_some { kind | SOME } else { kind }
}

fn put_outcome(into: &mut Vec<u8>, outcome: Outcome) {
    match outcome {
        Outcome::Value(value) => {
            into.push(kind(VALUE, value.is_some()));
            value.into_iter().for_each(|value| put_signed(into, value));
        }
        Outcome::OutOfRange(value) => {
            into.push(OUT_OF_RANGE);
            put_signed(into, value);
        }
        Outcome::Removed(count) => put_count(into, REMOVED, count),
        Outcome::Count(count) => put_count(into, COUNT, count),
        Outcome::Deadline(time_ms) => {
            into.push(kind(DEADLINE, time_ms.is_some()));
            time_ms.into_iter().for_each(|time_ms| put(into, time_ms));
        }
        Outcome::Ttl(time_ms) => {
            into.push(kind(TTL, time_ms.is_some()));
            time_ms.into_iter().for_each(|time_ms| put(into, time_ms));
        }
        Outcome::Applied => into.push(APPLIED),
        Outcome::Added { value, amount } => {
            into.push(ADDED);
            put_signed(into, value);
            put_signed(into, amount);
        }
        Outcome::Full => into.push(FULL),
        _ => unreachable!("each outcome has its kind"),
    }
}

fn put_count(into: &mut Vec<u8>, of_kind: u8, count: Option<Count>) {
    into.push(kind(of_kind, count.is_some()));
    if let Some(Count { value, operations }) = count {
        put_signed(into, value);
        put(into, operations);
    }
}

fn take_count(items: &mut Reader<'_>, is_some: bool) -> Result<Option<Count>, Malformed> {
    Ok(if is_some { Some(Count { value: items.signed()?, operations: items.number()? }) } else { None })
}

fn take_outcome(items: &mut Reader<'_>) -> Result<Outcome, Malformed> {
    let kind = items.byte()?;
    let is_some = kind & SOME != 0;
    Ok(match kind & !SOME {
        VALUE if is_some => Outcome::Value(Some(items.signed()?)),
        VALUE => Outcome::Value(None),
        OUT_OF_RANGE => Outcome::OutOfRange(items.signed()?),
        REMOVED => Outcome::Removed(take_count(items, is_some)?),
        COUNT => Outcome::Count(take_count(items, is_some)?),
        DEADLINE => Outcome::Deadline(if is_some { Some(items.number()?) } else { None }),
        TTL => Outcome::Ttl(if is_some { Some(items.number()?) } else { None }),
        APPLIED => Outcome::Applied,
        ADDED => Outcome::Added { value: items.signed()?, amount: items.signed()? },
        FULL => Outcome::Full,
        _ => return Err(Malformed),
    })
}
