//! Standard output, written by a task of its own: a reader that is slow, stuck or gone holds up nobody.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Maximum number of lines that are written at once.
const LINES_AT_ONCE: usize = 256;

/// Time that a reader has for the last lines when a node ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Task that prints lines until nobody sends any more.
#[derive(Debug)]
pub(crate) struct Printer(JoinHandle<()>);

impl Printer {
    /// Prints the latest of a series of lines: those that are replaced before their turn are dropped.
    pub(crate) fn of_latest(lines: watch::Receiver<String>) -> Self {
        let printing = print_latest(lines, tokio::io::stdout());
        Self::spawn(printing, "no more reports")
    }

    /// Prints all lines in order. When the standard output is closed, so is the channel.
    pub(crate) fn of_all(lines: mpsc::Receiver<String>) -> Self {
        let printing = print_all(lines, tokio::io::stdout());
        Self::spawn(printing, "requests are no longer carried out")
    }

    fn spawn(
        printing: impl Future<Output = io::Result<()>> + Send + 'static,
        consequence: &'static str,
    ) -> Self {
        Self(tokio::spawn(async move {
            if let Err(error) = printing.await {
                tracing::warn!(%error, "standard output is closed: {consequence}, but the node goes on");
            }
        }))
    }

    /// Waits up to [`LAST_LINES`] until all lines that were sent are printed.
    pub(crate) async fn finish(self) {
        let _ = timeout(LAST_LINES, self.0).await;
    }
}

async fn print_latest(
    mut lines: watch::Receiver<String>,
    mut out: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while lines.changed().await.is_ok() {
        let line = lines.borrow_and_update().clone();
        write(&mut out, &[line]).await?;
    }
    Ok(())
}

async fn print_all(mut lines: mpsc::Receiver<String>, mut out: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, LINES_AT_ONCE).await > 0 {
        write(&mut out, &batch).await?;
        batch.clear();
    }
    Ok(())
}

async fn write(out: &mut (impl AsyncWrite + Unpin), lines: &[String]) -> io::Result<()> {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    out.write_all(text.as_bytes()).await?;
    out.flush().await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn lines_that_are_replaced_before_their_turn_are_dropped() {
        // There is room for one byte: a line is under way until it is read.
        let (out, reader) = tokio::io::duplex(1);
        let (latest, lines) = watch::channel(String::new());
        let printing = tokio::spawn(print_latest(lines, out));
        let mut reader = BufReader::with_capacity(1, reader);
        latest.send_replace("line 1".to_owned());
        let mut first = [0];
        reader.read_exact(&mut first).await.unwrap();
        (2..=9).for_each(|n| _ = latest.send_replace(format!("line {n}")));
        drop(latest);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&first, &*rest), (b"l", "ine 1\nline 9\n"));
        printing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn all_lines_are_printed_in_order_until_the_reader_is_gone() {
        let (out, reader) = tokio::io::duplex(1);
        let (all, lines) = mpsc::channel(2);
        let printing = tokio::spawn(print_all(lines, out));
        let mut reader = BufReader::with_capacity(1, reader).lines();
        let sending = tokio::spawn({
            let all = all.clone();
            async move {
                for n in 0..1000 {
                    all.send(n.to_string()).await.unwrap();
                }
            }
        });
        for n in 0..1000 {
            assert_eq!(reader.next_line().await.unwrap(), Some(n.to_string()));
        }
        sending.await.unwrap();
        drop(reader);
        let _ = all.send("nobody reads this".to_owned()).await;
        assert!(printing.await.unwrap().is_err());
        assert!(all.is_closed());
    }
}
