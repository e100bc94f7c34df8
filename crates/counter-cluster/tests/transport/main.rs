//! Connections between real nodes over real sockets, and what strangers can do to them.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod node;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod proxy;
