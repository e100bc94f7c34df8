//! Commits to a disk in memory with all its faults, and recovers from it.

mod fake;
mod fake_columns;
mod faults;
mod replicated;
mod rot;
mod world;
