//! Members as processes, a load that is produced meanwhile, and whether the counts are exact in the end.

mod brokers;
mod load;
mod processes;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use tokio::time::Instant;

pub(crate) use brokers::{BROKERS, Brokers, serve};
use load::Load;
use processes::{Known, Members};

/// Names of members.
pub(crate) const MEMBERS: [&str; 3] = ["a", "b", "c"];

/// Interval between lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// Number of increments that members may be behind before no more are produced. The brokers that are part of librdkafka
/// keep the last 5 MB of a partition, or about 30 000 records.
const MAX_BEHIND: u64 = 250_000;

/// Where members and the load meet.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) partitions: usize,
    /// Time without a sign of life after which the group expels a member.
    pub(crate) session: Duration,
}

/// Members at work.
pub(crate) struct Rehearsal {
    partitions: usize,
    members: Members,
    load: Load,
    started: Instant,
    shown: Instant,
    counted: u64,
}

impl Rehearsal {
    /// Starts the load and all members, and waits until each of them reads its share.
    pub(crate) async fn start(scene: &Scene, directory: &Path) -> anyhow::Result<Self> {
        let load = Load::start(&scene.brokers, &scene.topic).await?;
        let (members, started) = (Members::new(scene.clone(), directory)?, Instant::now());
        let mut rehearsal =
            Self { partitions: scene.partitions, members, load, started, shown: started, counted: 0 };
        for name in MEMBERS {
            rehearsal.members.start(name).await?;
        }
        rehearsal.shared(&MEMBERS).await?;
        Ok(rehearsal)
    }

    /// Starts a member over the directory that it had before.
    pub(crate) async fn start_again(&mut self, name: &'static str) -> anyhow::Result<()> {
        self.members.start(name).await
    }

    /// Kills a member.
    pub(crate) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.members.kill(name).await
    }

    /// Ends a member in order.
    pub(crate) async fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        self.members.stop(name).await
    }

    pub(crate) fn freeze(&self, name: &str) -> anyhow::Result<()> {
        self.members.signal(name, Signal::SIGSTOP)
    }

    pub(crate) fn resume(&self, name: &str) -> anyhow::Result<()> {
        self.members.signal(name, Signal::SIGCONT)
    }

    /// Waits until these members read all partitions, each the same number, and returns the time that it took.
    pub(crate) async fn shared(&mut self, names: &[&str]) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let partitions = self.partitions;
        let context = format!("partitions not shared by {}", names.join(", "));
        self.until(|known| known.is_shared_by(partitions, names)).await.context(context)?;
        Ok(began.elapsed())
    }

    /// Returns the number of records that brokers have acknowledged.
    pub(crate) fn produced(&self) -> u64 {
        self.load.acknowledged().records
    }

    /// Shows progress for a while.
    pub(crate) async fn watch(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        self.until(|_| Instant::now() >= end).await
    }

    /// Ends the load, waits until every member has heard of all of it, and fails unless all have the exact sums.
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        self.load.stop();
        self.until_produced().await?;
        let sent = self.load.finish().await?;
        let operations = sent.produced.operations;
        let known_by_all = |known: &Known| MEMBERS.iter().all(|name| known.held_by(name) >= operations);
        self.members.until(known_by_all, |_| Ok(())).await.context("members do not know of all records")?;
        let duplicates = self.members.duplicates();
        let (mut lost, mut doubled) = (0, 0);
        for member in MEMBERS {
            let counted = self.members.counts(member, sent.sums.keys()).await?;
            for (name, &sent) in &sent.sums {
                let difference = sent - counted.get(name).copied().unwrap_or_default();
                lost += difference.max(0);
                doubled += (-difference).max(0);
            }
            ensure!(
                self.members.held_by(member) == operations,
                "member {member} has counted other operations"
            );
        }
        for member in MEMBERS {
            self.members.stop(member).await?;
        }
        let (names, records) = (sent.sums.len(), sent.produced.records);
        say(&format!(
            "{operations} increments of {names} names in {records} records, {duplicates} of which came twice"
        ))?;
        say(&format!(
            "lost {lost}, counted twice {doubled}, in {:.0} s",
            self.started.elapsed().as_secs_f64()
        ))?;
        ensure!((lost, doubled) == (0, 0), "counts are not exact");
        say("exact: every member has the sum that was sent for each name")?;
        Ok(())
    }

    async fn until_produced(&mut self) -> anyhow::Result<()> {
        let ended = self.load.ended();
        self.until(|_| *ended.borrow()).await.context("load not acknowledged")
    }

    async fn until(&mut self, reached: impl Fn(&Known) -> bool) -> anyhow::Result<()> {
        let Self { members, load, started, shown, counted, .. } = self;
        let show = |known: &Known| {
            let elapsed = shown.elapsed();
            if elapsed < PROGRESS {
                return Ok(());
            }
            let operations = known.operations();
            let rate = u128::from(operations.saturating_sub(*counted)) * 1_000 / elapsed.as_millis();
            let behind = load.acknowledged().operations.saturating_sub(operations);
            (*shown, *counted) = (Instant::now(), operations);
            load.pause(behind > MAX_BEHIND);
            let (seconds, shares) = (started.elapsed().as_secs_f64(), known.shares());
            say(&format!(
                "{seconds:>6.1} s  counted {operations:>9}  {rate:>7}/s  behind {behind:>7}  {shares}"
            ))?;
            Ok(())
        };
        members.until(reached, show).await
    }
}

/// Writes a line to standard output.
pub(crate) fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
