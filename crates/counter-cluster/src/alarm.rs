use ractor_transport::NodeName;

/// Why a node with a store acknowledges nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Alarm {
    /// The store is an earlier state of itself. The node does not replicate.
    #[error(
        "store has been rolled back: it does not know {node}, which it has replicated with; \
         restore the latest directory, or accept it with --accept-rollback"
    )]
    RolledBack {
        /// Node that knows the store.
        node: NodeName,
    },
    /// Other nodes hold more of what this incarnation of the node has counted than its disk.
    #[error("other nodes hold more of this node than its disk, which has lost something; restart the node")]
    Overtaken,
}
