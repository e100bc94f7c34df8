//! One node as a process: its arguments, input, output, signals and exit codes.

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
