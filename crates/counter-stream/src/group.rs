//! The members of a group: each gives the others what it has counted.

mod assembly;
mod exchange;
mod link;
mod network;
mod wire;

pub use network::GroupOptions;

pub(crate) use exchange::Exchange;
pub(crate) use network::Group;

#[cfg(test)]
mod tests;
