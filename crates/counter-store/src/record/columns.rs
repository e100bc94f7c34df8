//! Records of a store that replicates: what it counts as, whom it knows, and what other replicas have counted.

use counter_keyspace::{Entry, EntryPage};

use crate::bytes::{Malformed, Reader, put, put_wide};
use crate::replicas::{ColumnTotals, Member, ReplicaKey, StoreId};

use super::{COLUMN, COLUMN_END, FULL_BYTES, MEMBER, OPENED, Opened, Payload, Record, put_entry};

impl Payload {
    /// Appends what the store counts as.
    pub(crate) fn opened(&mut self, Opened { own, sealed }: &Opened) {
        self.record(0, OPENED, |bytes| {
            put_replica(bytes, own);
            bytes.push(sealed.is_some().into());
            sealed.iter().for_each(|sealed| put_replica(bytes, sealed));
        });
    }

    /// Appends a store that this one replicates with.
    pub(crate) fn member(&mut self, Member { store, node, is_mutual }: &Member) {
        self.record(0, MEMBER, |bytes| {
            bytes.extend_from_slice(&store.0);
            put_text(bytes, node);
            bytes.push((*is_mutual).into());
        });
    }

    /// Appends entries of another replica. Payloads that are full on the way go to `full`.
    pub(crate) fn column<E>(
        &mut self,
        replica: &ReplicaKey,
        page: &EntryPage,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = page.iter().peekable();
        while entries.peek().is_some() {
            let start = self.begin(0, COLUMN);
            put_replica(&mut self.bytes, replica);
            // At least one, so that a payload which is nearly full makes progress.
            for Entry { name, count, .. } in entries.by_ref() {
                put_entry(&mut self.bytes, Entry { name, count, deadline_ms: None });
                if self.bytes.len() >= FULL_BYTES {
                    break;
                }
            }
            self.finish(start);
            self.hand_on_if_full(full)?;
        }
        Ok(())
    }

    /// Appends the totals of a column.
    pub(crate) fn column_end<E>(
        &mut self,
        replica: &ReplicaKey,
        ColumnTotals { names, value, operations }: ColumnTotals,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.record(0, COLUMN_END, |bytes| {
            put_replica(bytes, replica);
            put(bytes, names);
            put_wide(bytes, value.cast_unsigned());
            put_wide(bytes, operations);
        });
        self.hand_on_if_full(full)
    }
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    put(into, text.len() as u64);
    into.extend_from_slice(text.as_bytes());
}

fn put_replica(into: &mut Vec<u8>, ReplicaKey { node, incarnation }: &ReplicaKey) {
    put_text(into, node);
    put(into, *incarnation);
}

fn take_text(body: &mut Reader<'_>) -> Result<Box<str>, Malformed> {
    let len = body.small()?;
    Ok(std::str::from_utf8(body.take(len)?).map_err(|_| Malformed)?.into())
}

fn take_flag(body: &mut Reader<'_>) -> Result<bool, Malformed> {
    match body.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

pub(super) fn take_replica(body: &mut Reader<'_>) -> Result<ReplicaKey, Malformed> {
    Ok(ReplicaKey { node: take_text(body)?, incarnation: body.number()? })
}

pub(super) fn take_opened(body: &mut Reader<'_>) -> Result<Opened, Malformed> {
    let own = take_replica(body)?;
    let sealed = if take_flag(body)? { Some(take_replica(body)?) } else { None };
    body.end()?;
    Ok(Opened { own, sealed })
}

pub(super) fn take_member(body: &mut Reader<'_>) -> Result<Member, Malformed> {
    let (store, node) = (StoreId(body.array()?), take_text(body)?);
    let member = Member { store, node, is_mutual: take_flag(body)? };
    body.end()?;
    Ok(member)
}

pub(super) fn take_end<'a>(body: &mut Reader<'_>) -> Result<Record<'a>, Malformed> {
    let replica = take_replica(body)?;
    let totals =
        ColumnTotals { names: body.number()?, value: body.wide()?.cast_signed(), operations: body.wide()? };
    body.end()?;
    Ok(Record::ColumnEnd(replica, totals))
}
