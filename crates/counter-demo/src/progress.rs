//! Progress on standard error while a command works. `indicatif` draws nothing where that is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a bar for operations out of a known number.
pub(crate) fn operations(total: u64) -> ProgressBar {
    ProgressBar::new(total).with_style(style("{bar:32} {human_pos}/{human_len} operations"))
}

/// Returns a bar for bytes out of a known number, or a count of bytes without one.
pub(crate) fn bytes(total: Option<u64>) -> ProgressBar {
    match total {
        Some(total) => ProgressBar::new(total)
            .with_style(style("{bar:32} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left{msg}")),
        None => ProgressBar::no_length().with_style(style("{spinner} {bytes}, {bytes_per_sec}{msg}")),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are valid")
}
