use std::convert::Infallible;

use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use tokio::sync::oneshot;

use crate::limits::Limits;
use crate::node_name::NodeName;
use crate::peers::Peers;
use crate::security::Security;

/// State that the listener and all diallers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: NodeName,
    pub(crate) server: ActorRef<NodeServerMessage>,
    pub(crate) peers: Peers,
    pub(crate) security: Security,
    pub(crate) allow_plaintext: bool,
    pub(crate) limits: Limits,
    /// Never sent. Every task shares it, so its receiver resolves when all of them have ended.
    #[expect(dead_code, reason = "dropping it is its purpose")]
    pub(crate) running: oneshot::Sender<Infallible>,
}
