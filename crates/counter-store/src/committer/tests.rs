//! Commits to a disk in memory with all its faults, and recovers from it.

mod fake;
mod faults;
mod rot;
mod world;
