//! The commands of the binary: what they print, and their exit codes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const DUMP: &str = r#"{"name":"a","value":3,"operations":3}
{"name":"b\tc","value":-9223372036854775808,"operations":9,"deadline_ms":5000000000000}
{"name":[255,1],"value":-2,"operations":9}
"#;

pub(crate) fn run(arguments: &[&str], dir: &Path, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter-store"));
    command.args(arguments).arg(dir).env_remove("RUST_LOG");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may have ended before.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn sorted(text: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = String::from_utf8(text.to_vec()).unwrap().lines().map(String::from).collect();
    lines.sort_unstable();
    lines
}

/// Checks that a command has failed with this code and one line, and returns the line.
pub(crate) fn refused(output: &Output, code: i32) -> String {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn a_dump_is_loaded_and_dumped_again() {
    let outer = TempDir::new().unwrap();
    let dir = outer.path().join("counts");
    let loaded = run(&["load"], &dir, DUMP);
    assert!(loaded.status.success(), "{loaded:?}");
    assert_eq!(sorted(&run(&["dump"], &dir, "").stdout), sorted(DUMP.as_bytes()));
    let checked = run(&["check"], &dir, "");
    assert!(checked.status.success() && checked.stdout.starts_with(b"3 counters, value "), "{checked:?}");
    assert!(refused(&run(&["load"], &dir, DUMP), 2).contains("already holds a store"));
}

#[test]
fn bad_input_loads_nothing_and_names_the_line() {
    let outer = TempDir::new().unwrap();
    let dir = outer.path().join("counts");
    let line = refused(&run(&["load"], &dir, &format!("{DUMP}{{\"name\":\"d\"}}\n")), 2);
    assert!(line.contains("line 4"), "{line}");
    refused(&run(&["load"], &dir, &DUMP.repeat(2)), 2);
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_without_a_store_is_the_users_mistake_and_a_damaged_store_is_not() {
    let outer = TempDir::new().unwrap();
    refused(&run(&["check"], &outer.path().join("none"), ""), 2);
    refused(&run(&["check"], outer.path(), ""), 2);
    let dir = outer.path().join("counts");
    assert!(run(&["load"], &dir, DUMP).status.success());
    let segment = dir.join("000001.log");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[250] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for command in ["check", "dump"] {
        let output = run(&[command], &dir, "");
        let line = refused(&output, 1);
        assert!(line.starts_with("counter-store: store damaged: log ends at frame 0"), "{line}");
        assert!(output.stdout.is_empty());
    }
}
