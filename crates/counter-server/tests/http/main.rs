//! HTTP as its clients see it.

#[path = "../server/setup.rs"]
#[expect(dead_code, reason = "it is for the tests of other front ends, too")]
mod setup;

mod client;
mod cluster;
mod counters;
mod observing;
mod requests;
mod sessions;
mod slow;
