//! What the replicator of a node with a store knows of other stores.

use std::collections::BTreeSet;

use counter_store::{Commits, Member, StoreId};
use ractor_transport::NodeName;
use tokio::sync::watch;

use crate::alarm::Alarm;
use crate::wire::StoreIdentity;

/// The node's store, as the replicator sees it. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct NodeStore {
    pub(crate) id: StoreId,
    pub(crate) commits: Commits,
    /// Stores that are durably recorded.
    pub(crate) members: watch::Sender<BTreeSet<Member>>,
    pub(crate) accept_rollback: bool,
    pub(crate) alarm: watch::Sender<Option<Alarm>>,
}

/// What is to be done about a peer's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Nothing is to be recorded.
    Known,
    /// It has to be recorded before anything is sent to it.
    Record(Member),
    /// This store has been rolled back.
    RolledBack,
    /// The peer's store has been rolled back, and has not been accepted there.
    PeerRolledBack,
}

impl NodeStore {
    /// Returns what this node tells a node with this store about itself.
    pub(super) fn identity(&self, asker: Option<[u8; 16]>) -> StoreIdentity {
        let asker = asker.map(StoreId);
        let is_listed = asker.is_some_and(|asker| self.lists(asker, false));
        let is_mutual = asker.is_some_and(|asker| self.lists(asker, true));
        StoreIdentity { store: self.id.0, lists_asker: is_listed, listed_by_asker: is_mutual }
    }

    /// Decides about a peer that has told about its store.
    pub(super) fn admit(&self, node: &NodeName, theirs: StoreIdentity) -> Admission {
        let store = StoreId(theirs.store);
        if store == self.id {
            // A copy of this store. It has the same members, and a replica of its own.
            return Admission::Known;
        }
        let is_listed = self.lists(store, false);
        if theirs.listed_by_asker && !is_listed && !self.accept_rollback {
            return Admission::RolledBack;
        }
        if self.lists(store, true) && !theirs.lists_asker {
            return Admission::PeerRolledBack;
        }
        let member = Member { store, node: node.as_str().into(), is_mutual: theirs.lists_asker };
        if self.members.borrow().contains(&member) { Admission::Known } else { Admission::Record(member) }
    }

    /// Returns true if a store is recorded, and, if that is asked for, has recorded this one.
    fn lists(&self, store: StoreId, mutually: bool) -> bool {
        let members = self.members.borrow();
        members.iter().any(|member| member.store == store && (member.is_mutual || !mutually))
    }

    /// Notes that a member has been recorded.
    pub(super) fn recorded(&self, member: Member) {
        self.members.send_modify(|members| _ = members.insert(member));
    }
}
