//! A durable keyspace from the outside.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod replicated;
#[cfg(test)]
mod simulated;
