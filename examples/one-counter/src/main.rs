//! A counter in a program of your own: with typed methods, and with plain messages to the actor.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

use counter_actor::{CounterHandle, CounterState};
use counter_protocol::CounterMessage;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counter = CounterHandle::start(CounterState::new("downloads")?).await?;

    counter.increment(5)?;
    let actor = counter.actor()?;
    actor.cast(CounterMessage::Decrement { amount: 2 })?;
    let value = actor.call(CounterMessage::GetValue, None).await?.unwrap();
    assert_eq!(value, counter.value().await?);

    let stats = counter.stats().await?;
    counter.shutdown().await;
    println!("downloads: {value} after {} operations", stats.total_operations);
    Ok(())
}
