//! Connected clients, for `CLIENT LIST`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::client::Identity;
use super::encode::Version;

/// Connected clients. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    clients: BTreeMap<u64, ClientInfo>,
}

/// Description that a client has given of itself.
#[derive(Clone, Debug)]
struct ClientInfo {
    address: SocketAddr,
    since: Instant,
    identity: Identity,
    version: Version,
}

/// Client, which leaves the list when it is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    clients: Clients,
    id: i64,
    identity: Identity,
    version: Version,
}

impl Clients {
    /// Adds a client.
    pub(crate) fn register(&self, address: SocketAddr) -> Registered {
        let mut open = self.open();
        open.last_id += 1;
        let id = open.last_id;
        let info = ClientInfo {
            address,
            since: Instant::now(),
            identity: Identity::default(),
            version: Version::Two,
        };
        open.clients.insert(id, info);
        let id = id.try_into().unwrap_or(i64::MAX);
        Registered { clients: self.clone(), id, identity: Identity::default(), version: Version::Two }
    }

    /// Describes all clients, one a line, as in Redis.
    pub(crate) fn list(&self) -> String {
        self.open().clients.iter().map(|(id, info)| info.line(*id)).collect()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// Returns the number of the client, which no other client has or had.
    pub(crate) const fn id(&self) -> i64 {
        self.id
    }

    /// Describes this client.
    pub(crate) fn line(&self) -> String {
        let open = self.clients.open();
        open.clients
            .get(&self.id.unsigned_abs())
            .map_or_else(String::new, |info| info.line(self.id.unsigned_abs()))
    }

    /// Describes all clients.
    pub(crate) fn list(&self) -> String {
        self.clients.list()
    }

    /// Updates what the client has said of itself.
    pub(crate) fn update(&mut self, identity: &Identity, version: Version) {
        if self.version == version && self.identity == *identity {
            return;
        }
        (self.identity, self.version) = (identity.clone(), version);
        if let Some(info) = self.clients.open().clients.get_mut(&self.id.unsigned_abs()) {
            (info.identity, info.version) = (identity.clone(), version);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clients.open().clients.remove(&self.id.unsigned_abs());
    }
}

impl ClientInfo {
    fn line(&self, id: u64) -> String {
        let version = match self.version {
            Version::Two => 2,
            Version::Three => 3,
        };
        let text = |bytes| String::from_utf8_lossy(bytes);
        format!(
            "id={id} addr={} name={} age={} db=0 resp={version} lib-name={} lib-ver={}\n",
            self.address,
            text(&self.identity.name),
            self.since.elapsed().as_secs(),
            text(&self.identity.library),
            text(&self.identity.library_version),
        )
    }
}
