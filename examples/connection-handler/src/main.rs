//! A TCP server with an actor per connection.

fn main() {}
