//! Lines of standard input, read by a thread of their own.

use std::io::{self, BufRead};

use tokio::sync::mpsc;

/// Maximum number of lines that are read ahead of a command; then the thread waits.
const LINES_AHEAD: usize = 16 * 1024;

/// Returns lines without their newlines. The thread ends with the process while it waits for input.
pub(crate) fn read() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
