//! Knowledge of other stores, in the replicator of a node with one.

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

/// Decision about a peer's store.
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

#[cfg(test)]
mod tests {
    use counter_store::Store;
    use tempfile::TempDir;

    use super::*;

    const THEIRS: [u8; 16] = [7; 16];

    fn member(is_mutual: bool) -> Member {
        Member { store: StoreId(THEIRS), node: "b".into(), is_mutual }
    }

    const fn theirs(lists_asker: bool, listed_by_asker: bool) -> StoreIdentity {
        StoreIdentity { store: THEIRS, lists_asker, listed_by_asker }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_who_knows_that_it_was_recorded_accuses_the_other_of_a_rollback() {
        let dir = TempDir::new().unwrap();
        let (store, keyspace) =
            Store::open(dir.path(), counter_store::StoreOptions::default()).await.unwrap();
        let node = "b".parse().unwrap();
        let mine = |members: &[Member], accept_rollback| NodeStore {
            id: StoreId([1; 16]),
            commits: store.commits(),
            members: watch::Sender::new(members.iter().cloned().collect()),
            accept_rollback,
            alarm: watch::Sender::default(),
        };
        for (members, accepts, theirs, expected) in [
            // At first, neither knows the other.
            (&[][..], false, theirs(false, false), Admission::Record(member(false))),
            // The other one has been first.
            (&[], false, theirs(true, false), Admission::Record(member(true))),
            (&[member(false)], false, theirs(false, false), Admission::Known),
            (&[member(false)], false, theirs(true, false), Admission::Record(member(true))),
            (&[member(false), member(true)], false, theirs(true, true), Admission::Known),
            // What was recorded is not there any more.
            (&[], false, theirs(true, true), Admission::RolledBack),
            (&[], false, theirs(false, true), Admission::RolledBack),
            (&[], true, theirs(true, true), Admission::Record(member(true))),
            (&[member(true)], false, theirs(false, false), Admission::PeerRolledBack),
            (&[member(true)], true, theirs(false, true), Admission::PeerRolledBack),
        ] {
            assert_eq!(mine(members, accepts).admit(&node, theirs), expected, "{members:?}, {theirs:?}");
        }
        let copy = StoreIdentity { store: [1; 16], ..theirs(false, true) };
        assert_eq!(mine(&[], false).admit(&node, copy), Admission::Known);
        store.shutdown().await.unwrap();
        keyspace.shutdown().await;
    }
}
