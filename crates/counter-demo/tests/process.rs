//! The program among other processes: signals, closed pipes, full disks.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter-demo"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("RUST_LOG", "warn").env("NO_COLOR", "1");
    command
}

fn send(signal: &str, child: &Child) {
    // The shell's own `kill`: a program of that name is not on every machine.
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
}

/// Starts a count, gives it a few lines, and returns once it has counted them.
fn counting(lines: &str) -> (Child, BufReader<impl Read + use<>>) {
    let mut child =
        demo(&["count", "--all", "--format", "json"]).env("RUST_LOG", "debug").spawn().expect("it starts");
    child.stdin.as_mut().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("chunk counted") {
        line.clear();
        assert_ne!(log.read_line(&mut line).expect("it logs"), 0, "the log ended early");
    }
    (child, log)
}

fn assert_partial(signal: &str, word: &str, code: i32) {
    let (child, mut log) = counting("a\nb\na\nlast\n");
    send(signal, &child);
    let Output { status, stdout, .. } = {
        // Its standard input stays open: the signal alone must end it.
        let mut child = child;
        let stdin = child.stdin.take();
        let output = child.wait_with_output().expect("it ends");
        drop(stdin);
        output
    };
    assert_eq!(status.code(), Some(code));
    let result = String::from_utf8(stdout).expect("JSON");
    assert!(
        result.starts_with(r#"{"partial":true,"names":3,"total_value":4,"total_operations":4,"#),
        "{result}"
    );
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("a log");
    let last = format!("counter-demo: {word}: the result is of the first 4 names\n");
    assert!(rest.ends_with(&last), "{rest}");
}

#[test]
fn an_interrupted_count_prints_what_it_has_and_exits_130() {
    assert_partial("INT", "interrupted", 130);
}

#[test]
fn a_terminated_count_prints_what_it_has_and_exits_143() {
    assert_partial("TERM", "terminated", 143);
}

/// Far more lines than a pipe holds, each of them a name of its own.
fn many_lines() -> String {
    (0..50_000).map(|n| format!("{n}\n")).collect()
}

fn exit_code(mut child: Child) -> Option<i32> {
    child.wait().expect("it ends").code()
}

/// Waits until something has been written to standard output, and reads no more.
fn some_of(child: &mut Child) -> ChildStdout {
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut [0]).expect("it writes");
    out
}

#[test]
fn a_signal_ends_the_writing_of_a_complete_result_that_nobody_reads() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = demo(&["count", "--all"]).spawn().expect("it starts");
        child.stdin.take().expect("a pipe").write_all(many_lines().as_bytes()).expect("it reads");
        let out = some_of(&mut child);
        send(signal, &child);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code));
        assert!(String::from_utf8_lossy(&output.stderr).ends_with(": not all of the result is written\n"));
        drop(out);
    }
}

#[test]
fn termination_does_not_wait_for_ever_for_a_reader_of_what_was_counted() {
    let (mut child, _log) = counting(&many_lines());
    let stdin = child.stdin.take();
    send("TERM", &child);
    let out = some_of(&mut child);
    assert_eq!(exit_code(child), Some(143));
    drop((stdin, out));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut child, _log) = counting(&many_lines());
    let stdin = child.stdin.take();
    send("INT", &child);
    let out = some_of(&mut child);
    send("INT", &child);
    assert_eq!(exit_code(child), Some(130));
    drop((stdin, out));
}

/// Both ends of a stream that holds all it can. Not a pipe, because std cannot fill one without knowing its size,
/// which is less than usual for a user who has many.
fn full_stream() -> (UnixStream, UnixStream) {
    let (unread, mut full) = UnixStream::pair().expect("a pair of sockets");
    full.set_nonblocking(true).expect("a socket");
    while full.write(&[b' '; 4096]).is_ok() {}
    full.set_nonblocking(false).expect("a socket");
    (unread, full)
}

#[test]
fn a_simulation_whose_output_nobody_reads_can_be_terminated() {
    let (unread, full) = full_stream();
    let endless = [
        "simulate",
        "--operations",
        "1000000",
        "--delay",
        "1s",
        "--collect-every",
        "1ms",
        "--format",
        "json",
    ];
    let mut child =
        demo(&endless).env("RUST_LOG", "info").stdout(OwnedFd::from(full)).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut lines = String::new();
    log.read_line(&mut lines).expect("it logs that it has started");
    send("TERM", &child);
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    log.read_to_string(&mut lines).expect("a log");
    assert!(lines.ends_with("counter-demo: terminated: not all of the result is written\n"), "{lines}");
    drop(unread);
}

#[test]
fn an_interrupted_simulation_is_partial_and_exact() {
    let arguments = [
        "simulate",
        "--operations",
        "1000000",
        "--delay",
        "1ms",
        "--collect-every",
        "5ms",
        "--format",
        "json",
    ];
    let mut child = demo(&arguments).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a collection");
    send("INT", &child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    out.read_to_string(&mut line).expect("the result");
    let result = line.lines().last().expect("a line");
    assert!(result.starts_with(r#"{"event":"result","exact":true,"partial":true,"#), "{result}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = demo(&["count", "--all"]).spawn().expect("it starts");
    drop(child.stdout.take());
    child.stdin.take().expect("a pipe").write_all(b"a\nb\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_in_one_line() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has one");
    let mut child = demo(&["count"]).stdout(OwnedFd::from(full)).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(b"a\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let line = "counter-demo: failed to write the result: No space left on device (os error 28)\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), line);
}

/// Names that make megabytes of output.
fn many_names() -> Vec<u8> {
    (0..300_000).flat_map(|n| format!("name {n}\n").into_bytes()).collect()
}

/// Starts to count many names, from a thread that writes them.
fn count_many(arguments: &[&str], stdout: impl Into<Stdio>) -> Child {
    let mut child =
        demo(&[&["count", "--all"], arguments].concat()).stdout(stdout).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    std::thread::spawn(move || input.write_all(&many_names()).expect("it reads"));
    child
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_large_output_quietly() {
    for arguments in [&["--sort", "value"][..], &["--sort", "none"], &["--format", "json"]] {
        let mut child = count_many(arguments, Stdio::piped());
        let mut begun = [0; 1000];
        child.stdout.take().expect("a pipe").read_exact(&mut begun).expect("it writes");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_in_a_large_output_is_an_error_in_one_line() {
    for arguments in [&["--sort", "value"][..], &["--sort", "none"], &["--format", "json"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has one");
        let output = count_many(arguments, OwnedFd::from(full)).wait_with_output().expect("it ends");
        let line = "counter-demo: failed to write the result: No space left on device (os error 28)\n";
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{arguments:?}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn statistics_are_one_line_on_standard_error() {
    let mut child = demo(&["count", "--stats", "--all"]).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(b"a\nb\na").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.stdout, b"2\t2\ta\n1\t1\tb\n");
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.starts_with("5 bytes, 3 lines, 2 names, ") && line.ends_with(" MB\n"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn a_log_filter_that_cannot_be_read_is_bad_input() {
    let output = demo(&["count"]).env("RUST_LOG", "counter=loud").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.starts_with("counter-demo: cannot read RUST_LOG; try RUST_LOG=info: "), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = demo(&["completions", shell]).output().expect("it runs");
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("counter-demo"), "{shell}");
    }
}

#[test]
fn the_standard_input_can_be_named() {
    let mut child = demo(&["count", "-"]).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(b"a\nno newline at the end").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\t1\ta\n1\t1\tno newline at the end\n");
}
