//! The server: its front ends, from the start to an orderly end.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use counter_keyspace::KeyspaceOptions;
use counter_store::StoreOptions;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::counters::Durability;
use crate::engine::{Engine, TopicOptions};
use crate::limits::Limits;
use crate::peers::PeerOptions;
use crate::security::{Security, SecurityError, SecurityOptions};
use crate::service::{Service, ServiceState};
use crate::statsd::{self, StatsdOptions};
use crate::telemetry::Protocol;
use crate::{http, resp};

/// Place where counters are kept.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In memory: they end with the server.
    Memory(KeyspaceOptions),
    /// In a directory.
    Directory(PathBuf, StoreOptions),
    /// In the log of a topic, which the server counts in a directory.
    Topic(Box<TopicOptions>),
}

/// Options of a server. A front end without an address is off.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Place where counters are kept.
    pub storage: Storage,
    /// Part of the server in a cluster, if it has one.
    pub peers: Option<PeerOptions>,
    /// Guarantee of requests that do not ask for another.
    pub durability: Durability,
    /// Address of the RESP front end.
    pub resp: Option<SocketAddr>,
    /// Address of the HTTP front end.
    pub http: Option<SocketAddr>,
    /// Sockets of StatsD.
    pub statsd: StatsdOptions,
    /// Demands of the front ends on clients.
    pub security: SecurityOptions,
    /// Bounds of what clients may ask for.
    pub limits: Limits,
    /// Ends the sessions that were opened before the server started, if counters are kept in a directory.
    pub end_earlier_sessions: bool,
    /// Clients may remove all counters at once.
    pub allow_removal_of_all: bool,
    /// Time for connections to end when the server stops.
    pub drain_deadline: Duration,
}

impl Default for ServeOptions {
    /// Returns options of a server in memory on free ports of the loopback interface, which demands nothing of clients.
    fn default() -> Self {
        let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self {
            storage: Storage::Memory(KeyspaceOptions::default()),
            peers: None,
            durability: Durability::Memory,
            resp: any,
            http: any,
            statsd: StatsdOptions { udp: any, tcp: any, unix: None },
            security: SecurityOptions::default(),
            limits: Limits::default(),
            end_earlier_sessions: false,
            allow_removal_of_all: false,
            drain_deadline: Duration::from_secs(10),
        }
    }
}

impl ServeOptions {
    /// Checks what can be checked without starting: the files of tokens, TLS and the cluster, and that others than this
    /// machine reach no front end without them.
    ///
    /// # Errors
    /// [`SecurityError`], or one of the cluster's files.
    pub fn check(&self) -> anyhow::Result<()> {
        self.secure()?;
        self.peers.as_ref().map_or(Ok(()), PeerOptions::check)
    }

    fn secure(&self) -> Result<Security, SecurityError> {
        let StatsdOptions { udp, tcp, .. } = self.statsd;
        for (front_end, address) in [
            (Protocol::Resp, self.resp),
            (Protocol::Http, self.http),
            (Protocol::StatsD, udp),
            (Protocol::StatsD, tcp),
        ] {
            address.map_or(Ok(()), |address| self.security.check(front_end, address))?;
        }
        Security::load(self.security.clone())
    }
}

/// Server whose front ends are listening. It may still be loading its counters.
#[derive(Debug)]
pub struct Server {
    service: Service,
    front_ends: JoinSet<()>,
    engine: Engine,
    resp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    statsd: statsd::Addresses,
    drain_deadline: Duration,
}

impl Server {
    /// Starts the front ends, and then loads the counters.
    ///
    /// # Errors
    /// If the options are not [secure](ServeOptions::check), an address cannot be bound, or the store not be opened.
    pub async fn start(options: ServeOptions) -> anyhow::Result<Self> {
        let service = Service::new(options.limits, options.secure()?);
        let mut front_ends = JoinSet::new();
        let (mut resp, mut http) = (None, None);
        if let Some(address) = options.resp {
            let front_end = resp::FrontEnd::bind(address, &service).await;
            let front_end = front_end.with_context(|| format!("cannot listen on {address} for RESP"))?;
            resp = Some(front_end.local_addr()?);
            front_ends.spawn(front_end.run());
        }
        if let Some(address) = options.http {
            let front_end = http::FrontEnd::bind(address, &service).await;
            let front_end = front_end.with_context(|| format!("cannot listen on {address} for HTTP"))?;
            http = Some(front_end.local_addr()?);
            front_ends.spawn(front_end.run());
        }
        let statsd = statsd::start(&options.statsd, &service, &mut front_ends).await?;
        let peers = options.peers.as_ref();
        let (engine, counters) =
            Box::pin(Engine::start(options.storage, peers, options.durability, options.limits)).await?;
        if options.end_earlier_sessions {
            counters.end_earlier_sessions().await.context("cannot end earlier sessions")?;
        }
        service.set_ready(counters.allowing_removal_of_all(options.allow_removal_of_all));
        let drain_deadline = options.drain_deadline;
        Ok(Self { service, front_ends, engine, resp, http, statsd, drain_deadline })
    }

    /// Returns what the front ends share.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Returns the address of the RESP front end.
    #[must_use]
    pub const fn resp_addr(&self) -> Option<SocketAddr> {
        self.resp
    }

    /// Returns the address of the HTTP front end.
    #[must_use]
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Returns the address of StatsD over UDP.
    #[must_use]
    pub const fn statsd_udp_addr(&self) -> Option<SocketAddr> {
        self.statsd.udp
    }

    /// Returns the address of StatsD over TCP.
    #[must_use]
    pub const fn statsd_tcp_addr(&self) -> Option<SocketAddr> {
        self.statsd.tcp
    }

    /// Returns the address at which other nodes find this one, if the server is a node.
    #[must_use]
    pub fn node_addr(&self) -> Option<SocketAddr> {
        self.engine.node_addr()
    }

    /// Waits until the server has to be stopped: its node acknowledges nothing any more, or follows its topic no more.
    pub async fn alarmed(&self) -> anyhow::Error {
        self.engine.alarmed().await
    }

    /// Reads tokens and the certificate again. Who has presented a token that is gone has no access any more; open
    /// connections keep their TLS. What cannot be used leaves everything as it is.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn reload(&self) -> Result<(), SecurityError> {
        self.service.security().reload()
    }

    /// Stops accepting, answers what has arrived, closes the connections within the deadline, and then makes
    /// everything durable. A node hands over to its peers what they lack.
    ///
    /// # Errors
    /// If not everything could be made durable or be handed over.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        self.service.drain();
        let ended = async { while self.front_ends.join_next().await.is_some() {} };
        if timeout(self.drain_deadline, ended).await.is_err() {
            tracing::warn!("some connections did not end in time");
            self.front_ends.shutdown().await;
        }
        let ended = match self.service.take_counters() {
            Some(counters) => counters.shutdown().await.context("the last operations may not be durable"),
            None => Ok(()),
        };
        self.engine.shutdown().await.and(ended)
    }

    /// Waits until the server is ready or beyond.
    pub async fn ready(&self) {
        self.service.reached(ServiceState::Ready).await;
    }
}
