//! Members, producers and dead letters against the cluster that is part of librdkafka.

#[cfg(test)]
mod consuming;
#[cfg(test)]
mod log;
#[cfg(test)]
mod members;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod producing;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod uncountable;
