//! Serves counters through protocols that clients already speak.
//!
//! [`Counters`] is everything that a front end may ask: operations in batches, with a durability, in sessions, and
//! readings. Each front end is a module that knows only that: [`resp`] speaks the Redis protocol, [`http`] HTTP,
//! and [`statsd`] counts what StatsD clients send.
//! Parsers are pure, and connections are thin. [`Server`] starts the front ends and the counters, and ends them in
//! order.
//!
//! It counts nothing itself, and knows no disk and no other node: `counter-keyspace`, `counter-store`,
//! `counter-cluster` and `counter-stream` do. With [`PeerOptions`] a server is a node of a cluster, and with
//! [`TopicOptions`] its counts follow a topic of Kafka.

pub mod auth;
pub mod counters;
mod dashboard;
mod digits;
mod engine;
pub mod http;
mod limits;
mod listener;
mod on_demand;
mod pace;
mod peers;
pub mod resp;
mod security;
mod serve;
mod service;
pub mod statsd;
mod status;
pub mod telemetry;
mod tls;
mod transport;

pub use counters::{
    Counters, CountersError, Durability, InvalidPositions, InvalidSession, Positions, SessionToken,
};
pub use engine::TopicOptions;
pub use limits::Limits;
pub use peers::PeerOptions;
pub use security::{SecurityError, SecurityOptions};
pub use serve::{ServeOptions, Server, Storage};
pub use service::{Service, ServiceState};
pub use statsd::StatsdOptions;
pub use tls::{TlsError, TlsFiles};
