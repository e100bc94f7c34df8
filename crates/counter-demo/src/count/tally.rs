//! One counter actor for each name, an aggregator over all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aggregator_actor::{AggregatorHandle, AggregatorOptions};
use anyhow::anyhow;
use counter_actor::{CounterArguments, CounterHandle};
use counter_protocol::{AggregatedStats, CounterName, CounterStats};
use futures_util::future::join_all;

use super::input::{Chunk, Source};
use super::record::{Record, lines};
use crate::cli::MAX_COUNTERS;
use crate::exit::Failure;

/// The counters are idle when they are collected, so this only ends a wait that would never end.
const DEADLINE: Duration = Duration::from_secs(60);

/// What has been counted.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) totals: AggregatedStats,
    /// In order of name.
    pub(super) counters: Vec<(CounterName, CounterStats)>,
}

#[derive(Debug)]
pub(super) struct Tally {
    aggregator: AggregatorHandle,
    counters: HashMap<CounterName, CounterHandle>,
    with_amounts: bool,
    /// Where the last line came from, and its number there.
    position: Option<(Arc<Source>, u64)>,
    lines: u64,
}

impl Tally {
    pub(super) async fn start(with_amounts: bool) -> Result<Self, Failure> {
        let aggregator =
            AggregatorHandle::spawn(AggregatorOptions { collect_every: None, deadline: DEADLINE }).await?;
        Ok(Self { aggregator, counters: HashMap::new(), with_amounts, position: None, lines: 0 })
    }

    /// Counts a chunk's lines.
    pub(super) async fn add(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let mut number = match &self.position {
            Some((source, number)) if Arc::ptr_eq(source, &chunk.source) => *number,
            _ => 0,
        };
        for line in lines(&chunk.bytes) {
            number += 1;
            let at = || format!("{}: line {number}", chunk.source);
            let record = Record::parse(line, self.with_amounts)
                .map_err(|bad| Failure::Input(anyhow!("{}: {bad}", at())))?;
            if self.counters.len() == MAX_COUNTERS && !self.counters.contains_key(record.name) {
                let limit = anyhow!("{}: expected at most {MAX_COUNTERS} different names", at());
                return Err(Failure::Input(limit));
            }
            self.send(record).await?;
        }
        self.position = Some((chunk.source.clone(), number));
        Ok(())
    }

    /// Takes the result, and stops counters and aggregator.
    pub(super) async fn finish(self) -> Result<Counts, Failure> {
        let totals = self.aggregator.collect().await?;
        let counters = self.aggregator.counter_stats().await?;
        join_all(self.counters.values().map(CounterHandle::shutdown)).await;
        self.aggregator.shutdown().await;
        let counted = totals.total_operations + totals.refused_operations;
        if counted != u128::from(self.lines) || !totals.unanswered.is_empty() {
            return Err(Failure::Other(anyhow!(
                "{} lines were sent, but the counters say {counted}; {} did not answer",
                self.lines,
                totals.unanswered.len()
            )));
        }
        Ok(Counts { totals, counters })
    }

    async fn send(&mut self, Record { name, amount }: Record<'_>) -> Result<(), Failure> {
        self.lines += 1;
        if let Some(counter) = self.counters.get(name) {
            return Ok(counter.increment(amount)?);
        }
        let name = CounterName::from(name);
        let counter = CounterHandle::spawn(CounterArguments::new(name.clone())).await?;
        self.aggregator.register(name.clone(), counter.actor()?).await?;
        counter.increment(amount)?;
        self.counters.insert(name, counter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tokio::runtime::Builder;

    use super::*;

    async fn count(chunks: &[Vec<u8>]) -> Counts {
        let source = Arc::new(Source::Stdin);
        let mut tally = Tally::start(true).await.unwrap();
        for bytes in chunks {
            tally.add(&Chunk { source: source.clone(), bytes: bytes.clone() }).await.unwrap();
        }
        tally.finish().await.unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn it_agrees_with_a_map(records in prop::collection::vec(("[a-c\t]{0,2}", -9..9_i64), 0..200)) {
            let mut model = BTreeMap::<CounterName, (i64, u64)>::new();
            for (name, amount) in &records {
                let entry = model.entry(name.as_str().into()).or_default();
                *entry = (entry.0 + amount, entry.1 + 1);
            }
            let text = |part: &[(String, i64)]| {
                part.iter().map(|(name, amount)| format!("{name}\t{amount}\n")).collect::<String>().into_bytes()
            };
            let chunks: Vec<_> = records.chunks(30).map(text).collect();
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            let counts = runtime.block_on(count(&chunks));
            let counted: BTreeMap<_, _> = counts
                .counters
                .into_iter()
                .map(|(name, stats)| (name, (stats.current_value, stats.total_operations)))
                .collect();
            prop_assert_eq!(counted, model);
            prop_assert_eq!(counts.totals.total_operations, records.len() as u128);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_operations_are_part_of_the_count() {
        // Both are folded into one operation before the counter gets to them, and refused together.
        let counts = count(&[b"a\t9223372036854775807\na\t1\n".to_vec()]).await;
        assert_eq!((counts.totals.total_operations, counts.totals.refused_operations), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_line_is_named_by_its_source_and_its_number_there() {
        let mut tally = Tally::start(true).await.unwrap();
        let [first, second] = ["first", "second"].map(|name| Arc::new(Source::File(name.into())));
        for (source, bytes) in [(&first, "a\t1\na\t1\n"), (&second, "a\t1\n")] {
            tally.add(&Chunk { source: source.clone(), bytes: bytes.into() }).await.unwrap();
        }
        let error = tally.add(&Chunk { source: second, bytes: b"a\t1\nb\n".to_vec() }).await.unwrap_err();
        let Failure::Input(error) = error else { panic!("{error:?}") };
        assert_eq!(error.to_string(), "second: line 3: expected a name, a tab and an amount");
    }
}
