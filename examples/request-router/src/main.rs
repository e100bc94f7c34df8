//! Requests keep affinity to worker actors, and overload is dropped, blocked or routed elsewhere by choice.
//!
//! Look at `router.rs` first: each policy is a line of `Router::route`. Then look at `Listed` in `worker.rs`: however
//! a worker ends, its clients go elsewhere at once, and come back to its successor. `rendezvous.rs` assigns clients
//! to workers.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

mod rendezvous;
mod router;
mod simulation;
#[cfg(test)]
mod tests;
mod worker;

// Time is simulated: a sleep takes no time but moves tokio's clock, so that every run has the same figures.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> anyhow::Result<()> {
    simulation::compare_policies().await?;
    simulation::kill(2).await
}
