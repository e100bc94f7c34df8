//! Members in processes of their own: this test program runs itself again, with one of its tests.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Member in a process, which is killed when this is dropped.
pub(crate) struct Member {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Member {
    /// Starts a test as the program of a member, with variables of its environment.
    pub(crate) fn start(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Returns what follows this word in the next line that begins with it; `None` at the end.
    pub(crate) fn next(&mut self, word: &str) -> Option<String> {
        let line = self.lines.by_ref().map_while(Result::ok).find(|line| line.starts_with(word))?;
        Some(line[word.len()..].trim().into())
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end, which has to be a success.
    pub(crate) fn wait(mut self) {
        assert!(self.next("error").is_none());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints a line for the process that has started this one. The test framework may have begun another line.
#[expect(clippy::print_stdout, reason = "the test reads what its members print")]
pub(crate) fn say(line: &str) {
    println!("\n{line}");
}
