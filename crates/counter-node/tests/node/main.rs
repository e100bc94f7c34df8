//! One node as a process: what it makes of its arguments, its input, its output and signals, and how it exits.

#[cfg(test)]
mod connections;
#[cfg(test)]
mod exit;
#[cfg(test)]
mod input;
#[cfg(test)]
mod output;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod signals;
