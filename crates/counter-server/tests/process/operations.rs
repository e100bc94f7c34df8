//! Signals, the service manager, logs and exit codes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::Duration;

use crate::server::Process;

/// Time within which the server reports to its service manager.
const REPORTED_WITHIN: Duration = Duration::from_secs(60);

/// Runs the program to its end.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter-server"));
    command.args(arguments).envs(variables.iter().copied()).output().expect("the program is there")
}

#[test]
fn the_service_manager_learns_when_the_server_is_ready_reloads_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(REPORTED_WITHIN)).unwrap();
    let reported = || {
        let mut text = [0; 256];
        let len = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..len].to_vec()).unwrap()
    };
    let data = dir.path().join("data");
    let server = Process::start_with(&data, |command| _ = command.env("NOTIFY_SOCKET", &path));
    assert_eq!(reported(), "READY=1\n");
    server.signal("HUP");
    assert!(reported().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(reported(), "READY=1\n");
    server.signal("TERM");
    assert_eq!(reported(), "STOPPING=1\n");
    server.wait();
}

#[test]
fn what_has_arrived_is_answered_and_kept_when_the_server_is_told_to_stop() {
    const INCREMENTS: usize = 1000;
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path());
    let mut client = TcpStream::connect(server.addresses.resp).unwrap();
    let mut replies = vec![0; 7];
    // From now on, the connection is accepted.
    client.write_all(b"PING\r\n").unwrap();
    client.read_exact(&mut replies).unwrap();
    client.write_all("INCR a\r\n".repeat(INCREMENTS).as_bytes()).unwrap();
    server.signal("TERM");
    let mut replies = String::new();
    client.read_to_string(&mut replies).unwrap();
    let expected: String = (1..=INCREMENTS).map(|value| format!(":{value}\r\n")).collect();
    assert!(
        replies == expected,
        "{} replies: ..{}",
        replies.lines().count(),
        &replies[replies.len().saturating_sub(50)..]
    );
    server.wait();
    let server = Process::start(dir.path());
    let mut client = TcpStream::connect(server.addresses.resp).unwrap();
    client.write_all(b"GET a\r\nQUIT\r\n").unwrap();
    replies.clear();
    client.read_to_string(&mut replies).unwrap();
    assert_eq!(replies, "$4\r\n1000\r\n+OK\r\n");
    server.stop();
}

#[test]
fn logs_are_lines_of_json_where_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter-server"));
    let any = "127.0.0.1:0";
    command.args(["--memory", "--log", "json", "--resp", any, "--http", any, "--statsd", any]);
    let mut process = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let text = || std::fs::read_to_string(&log).unwrap();
    while !text().contains('\n') {
        std::thread::yield_now();
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let line: serde_json::Value = serde_json::from_str(text().lines().next().unwrap()).unwrap();
    assert!(line["fields"]["message"].as_str().unwrap().starts_with("RESP on 127.0.0.1:"), "{line}");
}

#[test]
fn the_files_of_a_cluster_are_made_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    assert_eq!(run(&["cookie", &path("cookie")], &[]).status.code(), Some(0));
    let cookie = std::fs::read(path("cookie")).unwrap();
    let refused = run(&["cookie", &path("cookie")], &[]);
    assert_eq!((refused.status.code(), std::fs::read(path("cookie")).unwrap()), (Some(2), cookie));
    assert_eq!(run(&["certificates", &path("tls"), "a", "b"], &[]).status.code(), Some(0));
    let key = std::fs::read(path("tls/a/node.key")).unwrap();
    assert_eq!(run(&["certificates", &path("tls"), "a", "c"], &[]).status.code(), Some(0));
    assert_eq!(std::fs::read(path("tls/a/node.key")).unwrap(), key);
    let (cookie, tls) = (path("cookie"), path("tls/c"));
    let node = ["--listen", "0.0.0.0:0", "--name", "c", "--cookie-file", &cookie, "--tls-dir", &tls];
    let checked = run(&[&["check-config"][..], &node].concat(), &[]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn a_check_of_settings_prints_them_or_names_the_mistake() {
    let checked = run(&["check-config", "--memory"], &[("COUNTER_MAX_NAMES", "7"), ("COUNTER_RESP", "off")]);
    assert_eq!(checked.status.code(), Some(0));
    let settings = String::from_utf8(checked.stdout).unwrap();
    assert!(settings.contains("max-names = \"7\" # COUNTER_MAX_NAMES\n"), "{settings}");
    let none = ("COUNTER_X", "");
    for (arguments, variable, mistake) in [
        (&["check-config"][..], ("COUNTER_RESP", "7"), "COUNTER_RESP: invalid value '7'"),
        (&["check-config", "--tls-cert", "a"], none, "TLS needs both --tls-cert and --tls-key"),
        (&["check-config", "--tokens-file", "/nowhere"], none, "/nowhere cannot be read: No such file"),
        (&["check-config", "--http", "0.0.0.0:80"], none, "--insecure http"),
        (&["check-config", "--config", "/nowhere"], none, "/nowhere: No such file"),
        (&["--memory", "--resp", "0.0.0.0:0"], none, "--insecure resp"),
    ] {
        let refused = run(arguments, &[variable]);
        let line = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{line}");
        assert!(line.starts_with("counter-server: ") && line.contains(mistake), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
