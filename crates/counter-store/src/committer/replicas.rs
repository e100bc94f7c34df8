//! The part of rounds and snapshots that concerns other replicas.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Opened, Payload};
use crate::replicas::{ColumnEnds, ColumnPage, ColumnTotals, Columns, Member, ReplicaKey};

/// The part of rounds that concerns other replicas, and what has been committed of it.
#[derive(Debug)]
pub(crate) struct ReplicaWriter<C> {
    pub(super) columns: C,
    /// Replica that the store counts as. `None` if it does not replicate.
    opened: Option<Opened>,
    members: BTreeSet<Member>,
    /// Totals of each column in its last round.
    ends: BTreeMap<ReplicaKey, ColumnTotals>,
    is_opened: bool,
    new_members: BTreeSet<Member>,
    new_ends: ColumnEnds,
}

impl<C: Columns> ReplicaWriter<C> {
    pub(crate) fn new(
        opened: Option<Opened>,
        members: BTreeSet<Member>,
        ends: BTreeMap<ReplicaKey, ColumnTotals>,
        columns: C,
    ) -> Self {
        let (new_members, new_ends) = (BTreeSet::new(), Vec::new());
        Self { columns, opened, members, ends, is_opened: false, new_members, new_ends }
    }

    /// Adds members to be recorded.
    pub(super) fn add_members(&mut self, members: Vec<Member>) {
        let known = &self.members;
        self.new_members.extend(members.into_iter().filter(|member| !known.contains(member)));
    }

    /// Writes what comes before the shards: until it is committed, what the store counts as, and new members; in a
    /// round that holds the whole state, all of it.
    pub(super) fn begin_round<E>(
        &self,
        is_complete: bool,
        payload: &mut Payload,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.opened {
            // The columns of a complete round include the one that has been sealed.
            Some(Opened { own, .. }) if is_complete => {
                payload.opened(&Opened { own: own.clone(), sealed: None })
            }
            Some(opened) if !self.is_opened => {
                payload.opened(opened);
                let end = opened.sealed.as_ref().and_then(|sealed| self.ends.get_key_value(sealed));
                end.map_or(Ok(()), |(sealed, totals)| payload.column_end(sealed, *totals, full))?;
            }
            _ => {}
        }
        let old = self.members.iter().filter(|_| is_complete);
        old.chain(&self.new_members).for_each(|member| payload.member(member));
        Ok(())
    }

    /// Writes the beginning of a snapshot, in front of which everything is durable.
    pub(super) fn begin_snapshot<E>(
        &self,
        payload: &mut Payload,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(Opened { own, .. }) = &self.opened {
            payload.opened(&Opened { own: own.clone(), sealed: None });
        }
        self.members.iter().for_each(|member| payload.member(member));
        self.ends.iter().try_for_each(|(replica, totals)| payload.column_end(replica, *totals, full))
    }

    /// Writes the end of the columns' part of a round.
    pub(super) fn end_round<E>(
        &mut self,
        ends: ColumnEnds,
        payload: &mut Payload,
        full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.new_ends = ends;
        self.new_ends.iter().try_for_each(|(replica, totals)| payload.column_end(replica, *totals, full))
    }

    /// Notes that the round is durable.
    pub(super) fn confirm(&mut self) {
        self.is_opened = true;
        self.members.append(&mut self.new_members);
        self.ends.extend(self.new_ends.drain(..));
        self.columns.confirm();
    }
}

/// Writes the entries of a page.
pub(crate) fn put_page<E>(
    page: &ColumnPage,
    payload: &mut Payload,
    full: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    page.columns.iter().try_for_each(|(replica, entries)| payload.column(replica, entries, full))
}
