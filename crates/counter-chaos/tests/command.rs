//! The command line of `counter-chaos`. What it does with servers is tested by `counter-server`, which has their
//! executable.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-chaos");

fn counter_chaos(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_remove("RUST_LOG").output().expect("it runs")
}

#[test]
fn arguments_that_make_no_sense_exit_with_2() {
    for arguments in [
        &["--nodes", "1"][..],
        &["--nodes", "three"],
        &["--operations", "0"],
        &["--names", "0"],
        &["--seconds", "0"],
        &["--unknown"],
    ] {
        let Output { status, stdout, .. } = counter_chaos(Path::new(PROGRAM), arguments);
        assert_eq!((status.code(), stdout), (Some(2), vec![]), "{arguments:?}");
    }
}

fn assert_bad_input(Output { status, stdout, stderr }: Output, line: &str) {
    let said = String::from_utf8(stderr).expect("it is text");
    assert_eq!((status.code(), stdout, &*said), (Some(2), vec![], line));
}

#[test]
fn without_a_server_beside_it_the_error_says_how_to_build_one() {
    let empty = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room");
    let alone = empty.path().join("counter-chaos");
    fs::hard_link(PROGRAM, &alone).expect("both are on one disk");
    assert_bad_input(
        counter_chaos(&alone, &[]),
        "counter-chaos: counter-server not found beside counter-chaos; build it with `cargo build -p counter-server`\n",
    );
}

#[test]
fn a_path_without_an_executable_is_bad_input() {
    assert_bad_input(
        counter_chaos(Path::new(PROGRAM), &["--server", "no-such-file"]),
        "counter-chaos: no-such-file: expected the executable counter-server\n",
    );
}
