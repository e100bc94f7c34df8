//! A feed, an order book, a risk manager and an executor under a supervisor, which crash and lose nothing.

fn main() {}
