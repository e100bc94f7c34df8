//! The command `member`, as processes that know each other by their certificates.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ractor_transport::{Cookie, NodeName, certificates};
use serde_json::Value;
use tcp_proxy::TcpProxy;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::log::{Log, TOPIC};

const DEADLINE: Duration = Duration::from_secs(60);
const COOKIE: &str = "cookie";

/// Process of a member, which is killed when this is dropped.
struct Member {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    /// Starts a member with the certificate in a directory.
    fn start(log: &Log, directory: &Path, name: &str, tls: &Path, peer: Option<String>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counter-stream"));
        command
            .args([
                "member",
                "--name",
                name,
                "--brokers",
                &log.brokers,
                "--topic",
                TOPIC,
                "--group",
                "counters",
            ])
            .args(["--session-timeout", "3500ms", "--json", "--report-every", "20ms", "--data"])
            .arg(directory.join(name))
            .arg("--cookie-file")
            .arg(directory.join(COOKIE))
            .arg("--tls-dir")
            .arg(tls)
            .args(peer.map(|address| format!("--peer={address}")));
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// Returns the next report that is as wanted.
    async fn until(&mut self, reached: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the member lives");
                let line: Value = serde_json::from_str(&line).unwrap();
                if reached(&line["report"]) {
                    return line["report"].clone();
                }
            }
        };
        timeout(DEADLINE, reading).await.expect("the deadline")
    }
}

/// Returns the number of operations of the only partition that a member knows of, and whether it reads it.
fn known(report: &Value) -> (u64, bool) {
    let partition = &report["partitions"]["0"];
    (partition["operations"].as_u64().unwrap_or_default(), partition["owned"].as_bool().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_tell_each_other_what_they_have_counted_by_mutual_tls_and_nobody_else() {
    const RECORDS: usize = 10;
    let (log, directory) = (Log::with_partitions(1), tempfile::tempdir().unwrap());
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    let names: Vec<NodeName> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
    for authority in [&ours, &theirs] {
        certificates(authority, &names).unwrap();
    }
    Cookie::generate().write_new(directory.path().join(COOKIE)).unwrap();
    log.write(0, &[("visits", "1"); RECORDS]).await;

    let mut owner = Member::start(&log, directory.path(), "a", &ours.join("a"), None);
    let report = owner.until(|report| known(report) == (RECORDS as u64, true)).await;
    let address = report["address"].as_str().unwrap().to_owned();
    let proxy = TcpProxy::start().await.unwrap();
    proxy.set_target(address.parse().unwrap());
    // It has the cookie, and a certificate of another authority.
    let by_proxy = Some(proxy.address().to_string());
    let mut stranger = Member::start(&log, directory.path(), "c", &theirs.join("c"), by_proxy);
    timeout(DEADLINE, proxy.wait_for_accepted(3)).await.unwrap();
    let mut friend = Member::start(&log, directory.path(), "b", &ours.join("b"), Some(address));
    friend.until(|report| known(report) == (RECORDS as u64, false)).await;
    // It is refused again after the friend was told everything.
    let refusals = proxy.accepted();
    timeout(DEADLINE, proxy.wait_for_accepted(refusals + 2)).await.unwrap();
    assert_eq!(known(&stranger.until(|_| true).await), (0, false));
}
