use std::sync::Arc;

use counter_keyspace::EntryPage;
use ractor::{Message, RpcReplyPort};
use ractor_outbox::Parcel;
use serde::{Deserialize, Serialize};

use crate::cut::Cut;
use crate::record::Position;
use crate::table::{Digest, Fork, OwnCut, Total};

use super::records::Records;

/// Messages of a partition's actor.
pub(crate) enum PartitionMessage {
    /// Records of its source.
    Records(Parcel<Records>),
    /// A cut that was taken is durable.
    Confirm(Arc<OwnCut>),
    /// A question, which does no harm twice.
    Question(Question),
}

/// Page of counters, and the index of the next one.
pub(crate) type CountersPage = (Vec<(Box<[u8]>, Total)>, Option<u32>);

/// Names of counters.
pub(crate) type Names = Arc<[Box<[u8]>]>;

/// Questions to a partition's actor.
pub(crate) enum Question {
    /// Returns what has changed since the last confirmed cut, or everything, as one cut.
    Take(bool, RpcReplyPort<Option<Arc<OwnCut>>>),
    /// Returns about this number of the entries in a store from an index on.
    GetStored(u32, usize, RpcReplyPort<(EntryPage, Option<u32>)>),
    /// Returns a cut for whoever stands at this offset.
    GetCut(u64, RpcReplyPort<Option<Arc<Cut>>>),
    /// Applies a cut of another member.
    Apply(Arc<Cut>, RpcReplyPort<Standing>),
    /// Returns where the partition stands.
    GetStanding(RpcReplyPort<Standing>),
    /// Returns what counters add up to.
    GetValues(Names, RpcReplyPort<Vec<Option<Total>>>),
    /// Returns about this number of counters from an index on.
    GetCounters(u32, usize, RpcReplyPort<CountersPage>),
}

/// Where a partition of one member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) position: Position,
    pub(crate) digest: Digest,
    /// Why the partition has stopped, if it has.
    pub(crate) fork: Option<Fork>,
}

impl Message for PartitionMessage {}

impl From<Parcel<Records>> for PartitionMessage {
    fn from(parcel: Parcel<Records>) -> Self {
        Self::Records(parcel)
    }
}
