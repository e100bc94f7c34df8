//! A member that loses its process or its machine at any moment goes on from where its store stands, exactly.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod group;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod log;
#[cfg(test)]
mod process;
