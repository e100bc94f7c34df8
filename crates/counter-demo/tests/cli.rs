//! The program as a person at a shell meets it: snapshots of whole command lines.

#[test]
fn command_lines_print_what_they_printed_before() {
    trycmd::TestCases::new().env("RUST_LOG", "").env("NO_COLOR", "1").case("tests/cmd/*.trycmd");
}
