//! Replies about the log of a topic. Pure.

use std::fmt::Write;

use super::encode::Reply;
use crate::counters::{Counters, CountersError, LagStatus, PartitionStatus, TopicCounters, TopicStatus};

/// Returns the topic that counters follow.
pub(super) fn of(counters: &Counters) -> Result<&TopicCounters, CountersError> {
    counters.topic().ok_or(CountersError::NoTopic)
}

/// Returns the lag of all partitions together and of each. Null stands for what is not known.
pub(super) fn lag(status: &TopicStatus) -> Reply {
    let pair = |name: &str, value| (Reply::bulk(name), value);
    let partition = |partition: &PartitionStatus| {
        Reply::Map(vec![
            pair("partition", integer(Some(partition.partition.into()))),
            pair("offset", integer(Some(partition.offset))),
            pair("end", integer(partition.end)),
            pair("lag", integer(partition.lag)),
        ])
    };
    Reply::Map(vec![
        pair("lag", integer(status.lag.map(|lag| lag.records))),
        pair("age_ms", integer(status.lag.map(|lag| lag.age_ms))),
        pair("partitions", Reply::Array(status.partitions.iter().map(partition).collect())),
    ])
}

/// Returns a section of `INFO`.
pub(super) fn info(TopicStatus { counts, lag, partitions }: &TopicStatus) -> String {
    let known =
        |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let (records, age_ms) = (lag.map(|lag: LagStatus| lag.records), lag.map(|lag| lag.age_ms));
    let mut text = format!(
        "# Log\r\nlog_counts:{counts}\r\nlog_lag:{}\r\nlog_lag_age_ms:{}\r\n",
        known(records),
        known(age_ms),
    );
    for PartitionStatus { partition, offset, end, lag, .. } in partitions {
        let (end, lag) = (known(*end), known(*lag));
        // A string takes everything.
        let _ = write!(text, "log_partition_{partition}:offset={offset},end={end},lag={lag}\r\n");
    }
    text + "\r\n"
}

fn integer(number: Option<u64>) -> Reply {
    number.map_or(Reply::Null, |number| Reply::Integer(number.try_into().unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::encode::Version;
    use super::*;

    fn status(lag: Option<u64>) -> TopicStatus {
        let partition =
            PartitionStatus { offset: 3, end: lag.map(|lag| lag + 3), lag, ..PartitionStatus::default() };
        let all = lag.map(|records| LagStatus { records, age_ms: 250 });
        TopicStatus { counts: "visits".into(), lag: all, partitions: vec![partition] }
    }

    #[test]
    fn an_unknown_lag_is_not_zero() {
        let encoded = |lag| {
            let mut out = Vec::new();
            super::lag(&status(lag)).encode(Version::Three, &mut out);
            String::from_utf8(out).unwrap().replace("\r\n", " ")
        };
        assert!(encoded(Some(0)).starts_with("%3 $3 lag :0 $6 age_ms :250 "), "{}", encoded(Some(0)));
        assert!(encoded(None).starts_with("%3 $3 lag _ $6 age_ms _ "), "{}", encoded(None));
        assert!(encoded(None).ends_with("$3 end _ $3 lag _ "), "{}", encoded(None));
        assert!(info(&status(Some(2))).contains("\r\nlog_lag:2\r\nlog_lag_age_ms:250\r\n"));
        assert!(info(&status(None)).contains("\r\nlog_partition_0:offset=3,end=unknown,lag=unknown\r\n"));
    }
}
