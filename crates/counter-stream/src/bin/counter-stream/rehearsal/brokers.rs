//! Brokers: the cluster that is part of librdkafka, which speaks Kafka's protocol over sockets.
//!
//! They have a process of their own. Were they in the one that starts members, these would inherit their connections,
//! which librdkafka does not mark to be closed.

use std::env;
use std::io::{self, BufRead, Write};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::spawn_blocking;

use crate::cli::BrokersArguments;

/// Number of brokers, whose ids begin at 1.
pub(crate) const BROKERS: i32 = 3;
/// Time that a response of a slow broker takes: longer than anybody waits for it.
const SLOW: Duration = Duration::from_secs(60);
/// Response to a line.
const DONE: &str = "done";

/// Process with brokers, which ends when this is dropped.
pub(crate) struct Brokers {
    addresses: String,
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Brokers {
    /// Starts brokers with a topic.
    pub(crate) async fn start(topic: &str, partitions: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["brokers", topic, &partitions.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) = (child.stdin.take().context("no input")?, child.stdout.take());
        let mut output = BufReader::new(output.context("no output")?).lines();
        let addresses = output.next_line().await?.context("no brokers")?;
        Ok(Self { addresses, _child: child, input, output })
    }

    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// Delays responses of a broker, so that producers give them up, and send again what the broker has accepted.
    pub(crate) async fn slow_down(&mut self, broker: i32) -> anyhow::Result<()> {
        self.tell(broker, SLOW).await
    }

    /// Lets a broker respond at once again.
    pub(crate) async fn speed_up(&mut self, broker: i32) -> anyhow::Result<()> {
        self.tell(broker, Duration::ZERO).await
    }

    async fn tell(&mut self, broker: i32, delay: Duration) -> anyhow::Result<()> {
        self.input.write_all(format!("{broker} {}\n", delay.as_millis()).as_bytes()).await?;
        ensure!(self.output.next_line().await?.as_deref() == Some(DONE), "no brokers");
        Ok(())
    }
}

/// The command `brokers`: runs brokers until standard input ends.
pub(crate) async fn serve(BrokersArguments { topic, partitions }: BrokersArguments) -> anyhow::Result<()> {
    // The cluster stays on the thread that made it.
    spawn_blocking(move || {
        let cluster = cluster(&topic, partitions)?;
        let mut output = io::stdout().lock();
        writeln!(output, "{}", cluster.bootstrap_servers())?;
        for line in io::stdin().lock().lines() {
            let line = line?;
            let (broker, delay_ms) = line.split_once(' ').context("line without a space")?;
            let delay = Duration::from_millis(delay_ms.parse()?);
            cluster.broker_round_trip_time(broker.parse()?, delay)?;
            writeln!(output, "{DONE}")?;
        }
        Ok(())
    })
    .await?
}

fn cluster(topic: &str, partitions: i32) -> KafkaResult<MockCluster<'static, DefaultProducerContext>> {
    let cluster = MockCluster::new(BROKERS)?;
    cluster.create_topic(topic, partitions, BROKERS)?;
    Ok(cluster)
}
