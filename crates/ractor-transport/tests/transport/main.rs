//! Connections between real nodes over real sockets, and what strangers can do to them.

#[cfg(test)]
mod crowds;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod names;
#[cfg(test)]
mod node;
#[cfg(test)]
mod peers;
