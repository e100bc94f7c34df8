//! Output that the documents show is output that the program prints.

use std::path::Path;
use std::process::Command;

/// The documents, each with the number of outputs that it shows.
const DOCUMENTS: [(&str, usize); 3] = [("README.md", 2), ("docs/cli.md", 1), ("docs/cluster.md", 0)];

/// A command and what stands below it.
#[derive(Debug)]
struct Shown {
    command: String,
    output: String,
}

/// Commands with output in the text blocks of a document. A command that continues on the next line has none.
fn shown(document: &str) -> Vec<Shown> {
    let mut found = Vec::new();
    for block in document.split("```text\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the end of the block");
        for example in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, output) = example.split_once('\n').unwrap_or((example, ""));
            if !command.ends_with('\\') && !output.trim().is_empty() {
                found.push(Shown { command: command.into(), output: output.into() });
            }
        }
    }
    found
}

/// Without the lines of collections, whose number depends on the machine, and with rates as `#`.
fn stable(text: &str) -> Vec<String> {
    let is_collection =
        |line: &str| line.starts_with("    ") && line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let word = |word: &str| if word.contains('.') { "#".into() } else { word.to_owned() };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.trim_end().lines().filter(|line| !is_collection(line)).map(line).collect()
}

#[test]
fn the_demo_prints_what_the_documents_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (document, outputs) in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document)).expect("the document");
        let shown = shown(&text);
        assert_eq!(shown.len(), outputs, "outputs in {document}: {shown:?}");
        for Shown { command, output } in shown {
            let arguments = ["cargo run -p counter-demo", "counter-demo"];
            let arguments = arguments.iter().find_map(|program| command.strip_prefix(program));
            let arguments = arguments.expect("only the output of counter-demo can be shown");
            let printed = Command::new(env!("CARGO_BIN_EXE_counter-demo"))
                .args(arguments.split_whitespace().filter(|&argument| argument != "--"))
                .current_dir(&root)
                .output()
                .expect("it runs");
            assert_eq!(
                stable(&String::from_utf8_lossy(&printed.stdout)),
                stable(&output),
                "{document}: {command}"
            );
        }
    }
}
