//! One node as a process: what it makes of its input.

#[cfg(test)]
mod input;
#[cfg(test)]
mod setup;
