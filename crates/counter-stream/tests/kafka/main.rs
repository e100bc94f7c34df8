//! Members, producers and dead letters against the cluster that is part of librdkafka.

#[cfg(test)]
mod consuming;
#[cfg(test)]
mod log;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod producing;
