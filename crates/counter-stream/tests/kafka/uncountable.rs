//! Records that cannot be counted.

use std::collections::{BTreeMap, BTreeSet};

use counter_stream::kafka::{Consumer, UncountablePolicy};
use rdkafka::message::Message;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::log::{LETTERS, Log, counted, header, until};
use crate::memory::Memory;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_is_a_dead_letter_before_its_offset_is_durable() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    let mut options = log.options();
    options.uncountable = UncountablePolicy::DeadLetter(LETTERS.into());
    log.write(0, &[("a", "1"), ("b", "many"), ("c", "2")]).await;
    let member = Consumer::start(options, memory.clone()).await.unwrap();
    let status = until(&member, |status| counted(status, 0) == 3).await;
    assert_eq!((status.partitions[&0].records, status.partitions[&0].skipped), (3, 1));
    assert_eq!(memory.column(0).skipped, 1);
    assert_eq!(memory.sums(), [("a".into(), 1), ("c".into(), 2)].into());
    let letters = log.read(LETTERS, 0, 1).await;
    let key = String::from_utf8(letters[0].key().unwrap().into()).unwrap();
    assert!(key.ends_with("/0/1") && key.len() == 32 + 4, "{key}");
    assert_eq!(letters[0].payload(), Some(&b"many"[..]));
    assert_eq!(header(&letters[0], "counter-key").as_deref(), Some("b"));
    let reason = header(&letters[0], "counter-reason");
    assert_eq!(reason.as_deref(), Some("amount that is not an integer of 64 bits"));
    member.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_no_json_or_lack_fields_or_are_oversized_become_letters_with_their_reasons() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    let oversized = format!(r#"{{"page": "{}", "bytes": 1}}"#, "x".repeat(64 * 1024 + 1));
    let records = [
        (r#"{"page": "a", "bytes": 7}"#, None),
        ("{", Some("value that is not JSON")),
        (r#"{"bytes": 7}"#, Some("no field /page")),
        (r#"{"page": "a", "bytes": 1.5}"#, Some("amount that is not an integer of 64 bits")),
        (oversized.as_str(), Some("name of 65537 bytes")),
        (r#"{"page": "b", "bytes": -2}"#, None),
    ];
    let mut options = log.options();
    options.mapping.name = "/page".parse().unwrap();
    options.mapping.amount = "/bytes".parse().unwrap();
    options.uncountable = UncountablePolicy::DeadLetter(LETTERS.into());
    log.write(0, &records.map(|(value, _)| ("key", value))).await;
    let member = Consumer::start(options, memory.clone()).await.unwrap();
    until(&member, |status| counted(status, 0) == records.len() as u64).await;
    assert_eq!(memory.sums(), [("a".into(), 7), ("b".into(), -2)].into());
    member.leave().await.unwrap();
    let expected: BTreeMap<_, _> =
        records.into_iter().filter_map(|(value, reason)| Some((value, reason?))).collect();
    let letters = log.read(LETTERS, 0, expected.len()).await;
    for letter in &letters {
        let value = str::from_utf8(letter.payload().unwrap()).unwrap();
        let reason = header(letter, "counter-reason").unwrap();
        assert!(reason.starts_with(expected[value]), "{reason}");
    }
    let values: BTreeSet<_> = letters.iter().map(|letter| letter.payload().unwrap()).collect();
    assert_eq!(values.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_too_large_is_sent_without_its_value_and_one_that_fails_is_sent_again() {
    let (log, memory) = (Log::with_partitions(1), Memory::default());
    let mut options = log.options();
    options.uncountable = UncountablePolicy::DeadLetter(LETTERS.into());
    log.write(0, &[("a", "many")]).await;
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    ];
    log.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let member = Consumer::start(options, memory.clone()).await.unwrap();
    until(&member, |status| counted(status, 0) == 1).await;
    let letters = log.read(LETTERS, 0, 1).await;
    assert_eq!(letters[0].payload(), None);
    assert_eq!(header(&letters[0], "counter-value-omitted").as_deref(), Some("too large"));
    assert_eq!(header(&letters[0], "counter-key").as_deref(), Some("a"));
    member.leave().await.unwrap();
}
