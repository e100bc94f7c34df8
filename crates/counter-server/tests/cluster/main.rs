//! Clusters of real processes: their counters after load, kills, partitions, pauses and attacks, and how they end.
//! Figures are printed with `--nocapture`.

#![expect(
    clippy::print_stdout,
    reason = "a failed run is repeated from the seed it prints, and figures are worth knowing"
)]

#[cfg(test)]
mod askers;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod command;
#[cfg(test)]
#[path = "../process/connection.rs"]
#[expect(dead_code, reason = "HTTP is for other tests")]
mod connection;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod exit;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod history;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod load;
#[cfg(test)]
mod output;
#[cfg(test)]
mod replies;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod writer;
