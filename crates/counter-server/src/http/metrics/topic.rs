//! Metrics of a topic: how far counts are behind its log, and what became of its records.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::{FloatGauge, float};
use crate::counters::TopicStatus;

/// Label of a partition.
type PartitionLabel = [(&'static str, String); 1];

/// Labels of records: their partition, and what became of them.
type RecordsLabel = [(&'static str, String); 2];

/// Registers the metrics. There is no series of a lag that is not known.
#[expect(clippy::cast_precision_loss, reason = "a value in OpenMetrics is a float")]
pub(super) fn register(registry: &mut Registry, topic: &TopicStatus) {
    let [lags, offsets, owned, stopped] =
        std::array::from_fn(|_| Family::<PartitionLabel, FloatGauge>::default());
    let records = Family::<RecordsLabel, Counter>::default();
    let mut unknown = 0_u32;
    for partition in &topic.partitions {
        let label = [("partition", partition.partition.to_string())];
        match partition.lag {
            Some(lag) => _ = lags.get_or_create(&label).set(lag as f64),
            None => unknown += 1,
        }
        offsets.get_or_create(&label).set(partition.offset as f64);
        owned.get_or_create(&label).set(f64::from(u8::from(partition.is_owned)));
        stopped.get_or_create(&label).set(f64::from(u8::from(partition.stopped.is_some())));
        for (outcome, number) in [
            ("counted", partition.counted),
            ("skipped", partition.skipped),
            ("duplicate", partition.duplicates),
            ("refused", partition.refused),
        ] {
            let [partition] = label.clone();
            records.get_or_create(&[partition, ("outcome", outcome.to_owned())]).inc_by(number);
        }
    }
    registry.register("log_lag", "Records of the log that are not counted here yet", lags);
    registry.register("log_lag_unknown", "Partitions whose lag is not known", float(unknown.into()));
    if let Some(lag) = topic.lag {
        let help = "Time since it was known where the log ends";
        registry.register_with_unit("log_lag_age", help, Unit::Seconds, float(lag.age_ms as f64 / 1000.0));
    }
    registry.register("log_offset", "Offset up to which a partition is counted here", offsets);
    registry.register("log_partition_owned", "Whether this server reads the partition", owned);
    registry.register(
        "log_partition_stopped",
        "Whether nobody reads the partition before a person decides",
        stopped,
    );
    registry.register("log_records", "Records by what became of them", records);
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode_registry;

    use super::*;
    use crate::counters::PartitionStatus;

    #[test]
    fn a_lag_that_is_not_known_has_no_series() {
        let partition = |partition, lag| PartitionStatus {
            partition,
            offset: 3,
            lag,
            skipped: 1,
            ..PartitionStatus::default()
        };
        let partitions = vec![partition(0, Some(7)), partition(1, None)];
        let topic = TopicStatus { counts: "visits".into(), lag: None, partitions };
        let (mut registry, mut text) = (Registry::with_prefix("counter_server"), String::new());
        register(&mut registry, &topic);
        encode_registry(&mut text, &registry).unwrap();
        for line in [
            "counter_server_log_lag{partition=\"0\"} 7.0\n",
            "counter_server_log_lag_unknown 1.0\n",
            "counter_server_log_offset{partition=\"1\"} 3.0\n",
            "counter_server_log_records_total{partition=\"0\",outcome=\"skipped\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("log_lag{partition=\"1\"}") && !text.contains("log_lag_age"), "{text}");
    }
}
