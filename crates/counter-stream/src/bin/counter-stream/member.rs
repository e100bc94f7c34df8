//! The command `member`.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Context;
use counter_cli::{Completion, Failure, Stop};
use counter_store::StoreOptions;
use counter_stream::kafka::Consumer;
use counter_stream::{GroupOptions, StreamHandle, StreamNode, StreamOptions};
use ractor_transport::{Cookie, Security};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

use crate::cli::{MemberArguments, OtherMembers};
use crate::lines;
use crate::report::{Known, Line, Report};

/// Number of counters that are shown at the end.
const TOP: usize = 10;

/// Counts until it is told to stop.
pub(crate) async fn run(arguments: MemberArguments, mut stop: Stop) -> Result<Completion, Failure> {
    let MemberArguments { json, report_every, .. } = arguments;
    let node = Arc::new(StreamNode::start(node_options(&arguments).map_err(Failure::Input)?).await?);
    let (address, handle) = (node.local_addr(), node.handle());
    let options = arguments.source.options(arguments.data).map_err(Failure::input)?;
    let mut consumer = Consumer::start(options, node.clone()).await?;
    let (status, mut reports) = (consumer.status(), interval(report_every));
    let (mut lines, mut hangups) = (json.then(lines::read), signal(SignalKind::hangup())?);
    let ended = loop {
        tokio::select! {
            _ = stop.wait() => break Ok(()),
            ended = consumer.ended() => break ended,
            _ = hangups.recv() => consumer.retry_stopped(),
            _ = reports.tick() => {
                let status = status.borrow().clone();
                let report = Report { address, status, partitions: known(&handle) };
                write(json, &report).map_err(Failure::output)?;
            }
            name = next(&mut lines) => {
                let name = name.context("failed to read standard input")?;
                let value = handle.value(&name).await?.unwrap_or_default();
                let line = Line::Count {
                    name: String::from_utf8_lossy(&name).into_owned(),
                    value: value.value.try_into().ok(),
                    operations: value.operations.try_into().unwrap_or(u64::MAX),
                };
                write_line(&serde_json::to_string(&line)?).map_err(Failure::output)?;
            }
        }
    };
    if ended.is_ok() {
        consumer.leave().await?;
    }
    if !json {
        for (name, total) in handle.top(TOP).await? {
            let line = format!("{:>20} {}", total.value, String::from_utf8_lossy(&name));
            write_line(&line).map_err(Failure::output)?;
        }
    }
    let node = Arc::into_inner(node).context("node still in use")?;
    node.shutdown().await?;
    ended?;
    Ok(Completion::Complete)
}

fn node_options(arguments: &MemberArguments) -> anyhow::Result<StreamOptions> {
    let OtherMembers { cookie_file, listen, peers, tls_dir, allow_plaintext } = &arguments.others;
    let group = cookie_file.as_ref().map(|file| {
        anyhow::Ok(GroupOptions {
            listen: *listen,
            peers: peers.clone(),
            security: Security::load(tls_dir.as_deref(), &arguments.name)?,
            allow_plaintext: *allow_plaintext,
            ..GroupOptions::new(Cookie::from_file(file)?)
        })
    });
    let store = StoreOptions { accept_loss: arguments.accept_loss, ..StoreOptions::default() };
    let options = StreamOptions::new(arguments.name.clone(), arguments.data.clone());
    Ok(StreamOptions { store, group: group.transpose()?, ..options })
}

/// Returns the next line, or waits for ever.
async fn next(lines: &mut Option<tokio::sync::mpsc::Receiver<io::Result<Vec<u8>>>>) -> io::Result<Vec<u8>> {
    if let Some(reader) = lines {
        match reader.recv().await {
            Some(line) => return line,
            None => *lines = None,
        }
    }
    std::future::pending().await
}

fn known(handle: &StreamHandle) -> std::collections::BTreeMap<u32, Known> {
    let known = handle.partitions().into_iter().map(|(id, status)| {
        let known = Known {
            offset: status.position.offset,
            committed: status.committed.offset,
            operations: status.total.operations.try_into().unwrap_or(u64::MAX),
            duplicates: status.tallies.duplicates,
            owned: status.is_owned,
        };
        (id.partition, known)
    });
    known.collect()
}

fn write(json: bool, report: &Report) -> io::Result<()> {
    if json {
        return write_line(&serde_json::to_string(&Line::Report(report.clone()))?);
    }
    let Report { status, partitions, .. } = report;
    let (records, skipped) = status.partitions.values().fold((0, 0), |(records, skipped), partition| {
        (records + partition.records, skipped + partition.skipped)
    });
    let operations: u64 = partitions.values().map(|known| known.operations).sum();
    write_line(&format!(
        "{} of {} partitions · {records} records read, {skipped} skipped · {operations} operations · lag {}",
        status.partitions.len(),
        partitions.len(),
        status.lag(),
    ))
}

fn write_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
