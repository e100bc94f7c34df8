//! The command `produce`.

use anyhow::{Context, anyhow};
use counter_cli::parse::{amount, name_and_amount};
use counter_cli::{Completion, Failure, Stop};
use counter_stream::producer::{Producer, ProducerError};

use crate::cli::ProduceArguments;
use crate::lines;

/// Sends what comes from standard input, and ends when brokers have acknowledged it.
pub(crate) async fn run(arguments: ProduceArguments, mut stop: Stop) -> Result<Completion, Failure> {
    let ProduceArguments { topic, max_names } = arguments;
    let options = topic.producer(max_names).map_err(Failure::input)?;
    let producer = Producer::start(options).await?;
    let mut lines = lines::read();
    let mut number = 0_u64;
    let (interrupted, input) = loop {
        let line = tokio::select! {
            biased;
            signal = stop.wait() => break (Some(signal), Ok(())),
            line = lines.recv() => line,
        };
        let Some(line) = line else { break (None, Ok(())) };
        number += 1;
        match send(&producer, &line.context("failed to read standard input")?).await {
            Ok(()) => {}
            // What came before it is sent all the same.
            Err(error) => break (None, Err(error.context(format!("line {number}")))),
        }
    };
    let produced = producer.flush().await?;
    producer.shutdown().await;
    tracing::info!(increments = produced.operations, records = produced.records, "acknowledged");
    input.map_err(Failure::Input)?;
    Ok(match interrupted {
        None => Completion::Complete,
        Some(signal) => Completion::Partial(signal, format!("{} increments sent", produced.operations)),
    })
}

async fn send(producer: &Producer, line: &[u8]) -> anyhow::Result<()> {
    let (name, amount) = match name_and_amount(line) {
        None => (line, 1),
        Some((name, text)) => {
            (name, amount(text).ok_or_else(|| anyhow!("amount that is not an integer of 64 bits"))?)
        }
    };
    producer.increment(name, amount).await.map_err(|error: ProducerError| error.into())
}
