//! Standard input as operations: a name, or a name, a tab and an amount, one a line.

use std::pin::pin;

use anyhow::Context;
use counter_cli::parse;
use counter_cluster::NodeHandle;
use counter_protocol::CounterName;
use tokio::time::{Instant, sleep_until};

use crate::lines::{Line, read_lines};
use crate::refusals::{Refusal, Refusals};

/// Maximum length of a line: the longest name, a tab, and the longest amount.
const MAX_LINE_BYTES: usize = CounterName::MAX_BYTES + 1 + "-9223372036854775808".len();

/// Counts lines until `stop` is ready, and then those that have been read already. Refuses lines that cannot be
/// counted, and logs a warning of them at a bounded rate.
pub(crate) async fn count_lines(node: &NodeHandle, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (mut lines, mut number, mut stop) = (read_lines(MAX_LINE_BYTES), 0, pin!(stop));
    let mut refusals = Refusals::new(Instant::now());
    let mut stopped = false;
    loop {
        let line = tokio::select! {
            biased;
            () = &mut stop, if !stopped => {
                stopped = true;
                lines.close();
                continue;
            }
            () = when_due(&refusals) => {
                warn(&mut refusals);
                continue;
            }
            line = lines.recv() => line,
        };
        let Some(line) = line else { break };
        number += 1;
        match operation(&line.context("failed to read standard input")?) {
            Ok((name, amount)) => {
                let counted = node.keyspace().increment(name, amount).await;
                counted.with_context(|| format!("line {number}"))?;
            }
            Err(refusal) => refusals.record(number, refusal),
        }
    }
    warn(&mut refusals);
    if !stopped {
        // The node still serves its peers and counts its load.
        stop.await;
    }
    Ok(())
}

async fn when_due(refusals: &Refusals) {
    match refusals.due() {
        // A timer alone would round this up to a millisecond, in which many more lines come.
        Some(due) if due <= Instant::now() => {}
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn warn(refusals: &mut Refusals) {
    if let Some(warning) = refusals.warning(Instant::now()) {
        tracing::warn!("{warning}");
    }
}

/// Parses the name and the amount of a line.
fn operation(line: &Line) -> Result<(&[u8], i64), Refusal> {
    let Line::Whole(line) = line else { return Err(Refusal::TooLong) };
    let (name, amount) = match parse::name_and_amount(line) {
        Some((name, amount)) => (name, parse::amount(amount).ok_or(Refusal::Malformed)?),
        None => (&line[..], 1),
    };
    CounterName::check_len(name.len()).map_err(|_| Refusal::TooLong)?;
    Ok((name, amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation_of(line: &[u8]) -> Result<(Vec<u8>, i64), Refusal> {
        operation(&Line::Whole(line.to_vec())).map(|(name, amount)| (name.to_vec(), amount))
    }

    #[test]
    fn an_operation_is_a_name_and_perhaps_an_amount() {
        assert_eq!(operation_of(b"a b"), Ok((b"a b".to_vec(), 1)));
        assert_eq!(operation_of(b"a\t-5"), Ok((b"a".to_vec(), -5)));
        assert_eq!(operation_of(b"a\tb\t5"), Ok((b"a\tb".to_vec(), 5)));
        assert_eq!(operation_of(b"a\tb"), Err(Refusal::Malformed));
    }

    #[test]
    fn the_longest_name_may_have_the_longest_amount() {
        let mut line = vec![b'n'; CounterName::MAX_BYTES];
        line.extend(b"\t-9223372036854775808");
        assert_eq!(line.len(), MAX_LINE_BYTES);
        assert_eq!(operation_of(&line), Ok((vec![b'n'; CounterName::MAX_BYTES], i64::MIN)));
        assert_eq!(operation_of(&[b'n'; CounterName::MAX_BYTES + 1]), Err(Refusal::TooLong));
        assert_eq!(operation(&Line::TooLong), Err(Refusal::TooLong));
    }
}
