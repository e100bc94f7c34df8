//! Requests keep affinity to worker actors, and overload is dropped, blocked or routed elsewhere by choice.

fn main() {}
