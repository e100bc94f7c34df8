//! Members as processes of this executable.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use counter_stream::kafka::Stage;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ractor_transport::Cookie;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rehearsal::Scene;
use crate::report::{Line, Report};

/// Time that anything may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Interval between reports of a member.
const REPORT_EVERY: &str = "100ms";
/// Log filter of members: what is disturbed here warns of it.
const LOG: &str = "error";
/// File of the secret that the members share.
const COOKIE: &str = "cookie";
/// Maximum number of lines that wait to be looked at; then members wait.
const LINES: usize = 1_024;

/// Members and what they last said.
pub(crate) struct Members {
    scene: Scene,
    directory: PathBuf,
    running: BTreeMap<&'static str, (Child, ChildStdin)>,
    known: Known,
    lines: mpsc::Receiver<(&'static str, u32, Line)>,
    sender: mpsc::Sender<(&'static str, u32, Line)>,
}

/// Latest reports of the members.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<&'static str, Report>);

impl Members {
    pub(crate) fn new(scene: Scene, directory: &Path) -> anyhow::Result<Self> {
        Cookie::generate().write_new(directory.join(COOKIE))?;
        let (sender, lines) = mpsc::channel(LINES);
        let (running, known) = (BTreeMap::new(), Known::default());
        Ok(Self { scene, directory: directory.into(), running, known, lines, sender })
    }

    /// Starts a member, over the directory that it had before.
    pub(crate) async fn start(&mut self, name: &'static str) -> anyhow::Result<()> {
        let peers: Vec<String> =
            self.known.0.values().filter_map(|report| Some(format!("--peer={}", report.address?))).collect();
        let Scene { brokers, topic, session, .. } = &self.scene;
        let session = format!("{} ms", session.as_millis());
        let mut child = Command::new(env::current_exe()?)
            .args(["member", "--name", name, "--brokers", brokers, "--topic", topic])
            .args(["--group", "counters", "--amount-from", "value", "--session-timeout", &session])
            .args(["--json", "--report-every", REPORT_EVERY, "--data"])
            .arg(self.directory.join(name))
            .arg("--cookie-file")
            .arg(self.directory.join(COOKIE))
            .args(peers)
            .env("RUST_LOG", env::var("RUST_LOG").unwrap_or_else(|_| LOG.into()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A signal to this process's group is not for them. Should this process be killed, they end at their next
            // report: those that are frozen go on first, as the system lets groups of orphans.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let process = child.id().context("member without a process")?;
        tokio::spawn(read(name, process, stdout.context("no output")?, self.sender.clone()));
        self.running.insert(name, (child, stdin.context("no input")?));
        // Those that start later connect to it.
        self.until(|known| known.0.contains_key(name), |_| Ok(())).await
    }

    pub(crate) fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let (child, _) = self.running.get(name).context("no such member")?;
        let process = child.id().context("member has ended")?;
        Ok(kill(Pid::from_raw(process.try_into()?), signal)?)
    }

    /// Kills a member.
    pub(crate) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let (mut child, _) = self.running.remove(name).context("no such member")?;
        self.known.0.remove(name);
        Ok(child.kill().await?)
    }

    /// Ends a member in order.
    pub(crate) async fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGTERM)?;
        let (mut child, _) = self.running.remove(name).context("no such member")?;
        let status = timeout(DEADLINE, child.wait()).await.context("member does not end")??;
        self.known.0.remove(name);
        if !status.success() {
            bail!("member {name} failed: {status}");
        }
        Ok(())
    }

    /// Waits until what the members say is as wanted.
    pub(crate) async fn until(
        &mut self,
        reached: impl Fn(&Known) -> bool,
        mut show: impl FnMut(&Known) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let waiting = async {
            while !reached(&self.known) {
                if let (name, process, Line::Report(report)) = self.next().await? {
                    self.hear(name, process, report)?;
                    show(&self.known)?;
                }
            }
            Ok(())
        };
        timeout(DEADLINE, waiting).await.context("deadline passed")?
    }

    /// Asks a member for the values of counters.
    pub(crate) async fn counts(
        &mut self,
        member: &str,
        names: impl ExactSizeIterator<Item = &String>,
    ) -> anyhow::Result<BTreeMap<String, i64>> {
        let (expected, mut counts) = (names.len(), BTreeMap::new());
        let (_, input) = self.running.get_mut(member).context("no such member")?;
        let questions: String = names.flat_map(|name| [name.as_str(), "\n"]).collect();
        // The member reads and answers at the same time, and this has room for all its answers.
        input.write_all(questions.as_bytes()).await?;
        while counts.len() < expected {
            if let (_, _, Line::Count { name, value, .. }) = timeout(DEADLINE, self.next()).await?? {
                counts.insert(name, value.context("value beyond 64 bits")?);
            }
        }
        Ok(counts)
    }

    /// Returns the number of operations that a member knows of.
    pub(crate) fn held_by(&self, name: &str) -> u64 {
        self.known.held_by(name)
    }

    /// Returns the number of records that were recognized as repetitions.
    pub(crate) fn duplicates(&self) -> u64 {
        self.known.duplicates()
    }

    async fn next(&mut self) -> anyhow::Result<(&'static str, u32, Line)> {
        self.lines.recv().await.context("no members")
    }

    fn hear(&mut self, name: &'static str, process: u32, report: Report) -> anyhow::Result<()> {
        for (partition, status) in &report.status.partitions {
            if let Stage::Stopped(reason) = &status.stage {
                bail!("partition {partition} stopped at member {name}: {reason}");
            }
        }
        // The last words of a member that was killed come late.
        if self.running.get(name).is_some_and(|(child, _)| child.id() == Some(process)) {
            self.known.0.insert(name, report);
        }
        Ok(())
    }
}

impl Known {
    /// Returns whether these members read all partitions, each the same number of them.
    pub(crate) fn is_shared_by(&self, partitions: usize, names: &[&str]) -> bool {
        let share = partitions / names.len();
        names.iter().all(|name| self.0.get(name).is_some_and(|report| running(report) == share))
    }

    /// Returns the number of operations that are counted, by whoever knows most of a partition.
    pub(crate) fn operations(&self) -> u64 {
        let mut by_partition = BTreeMap::new();
        for (partition, known) in self.0.values().flat_map(|report| &report.partitions) {
            let most: &mut u64 = by_partition.entry(partition).or_default();
            *most = (*most).max(known.operations);
        }
        by_partition.into_values().sum()
    }

    fn duplicates(&self) -> u64 {
        let report = self.0.values().next();
        report.map_or(0, |report| report.partitions.values().map(|known| known.duplicates).sum())
    }

    /// Returns the number of operations that a member knows of.
    pub(crate) fn held_by(&self, name: &str) -> u64 {
        let report = self.0.get(name);
        report.map_or(0, |report| report.partitions.values().map(|known| known.operations).sum())
    }

    /// Returns how many partitions each member reads, in words.
    pub(crate) fn shares(&self) -> String {
        let shares: Vec<String> =
            self.0.iter().map(|(name, report)| format!("{name} {}", running(report))).collect();
        shares.join(" · ")
    }
}

fn running(report: &Report) -> usize {
    report.status.partitions.values().filter(|partition| partition.stage == Stage::Running).count()
}

async fn read(
    name: &'static str,
    process: u32,
    output: ChildStdout,
    lines: mpsc::Sender<(&'static str, u32, Line)>,
) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(text)) = output.next_line().await {
        match serde_json::from_str(&text) {
            Ok(line) => {
                if lines.send((name, process, line)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(name, %error, "member wrote something else"),
        }
    }
}
