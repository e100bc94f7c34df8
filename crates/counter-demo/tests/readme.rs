//! The README shows what the program prints.

use std::process::Command;

/// Without the lines of collections, whose number depends on the machine, and with rates as `#`.
fn stable(text: &str) -> Vec<String> {
    let is_collection = |line: &&str| !line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let word = |word: &str| if word.contains('.') { "#".into() } else { word.to_owned() };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    let (heading, rest) = text.split_once('\n').expect("several lines");
    [heading].into_iter().chain(rest.lines().filter(is_collection)).map(line).collect()
}

#[test]
fn the_demo_prints_what_the_readme_shows() {
    let readme = include_str!("../../../README.md");
    let (_, block) = readme.split_once("$ cargo run -p counter-demo\n").expect("the command");
    let (shown, _) = block.split_once("```").expect("the end of the block");
    let output = Command::new(env!("CARGO_BIN_EXE_counter-demo")).output().expect("it runs");
    assert_eq!(stable(&String::from_utf8_lossy(&output.stdout)), stable(shown));
}
