//! Offsets of a partition that may be committed. Pure.

pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
}

/// Progress of counting a partition.
#[derive(Default)]
pub(crate) struct Progress {
    /// Record that is out of the outbox but not with the keyspace yet. If its actor dies now, the next one must count
    /// it.
    pub(crate) in_hand: Option<Record>,
    /// Offset after the last record that is with the keyspace, which may not have applied it yet.
    sent: Option<i64>,
    applied: Option<i64>,
}

impl Progress {
    /// Records that the keyspace has accepted the record in hand.
    pub(crate) fn hand_over(&mut self) {
        self.sent = self.in_hand.take().map(|record| record.offset + 1).or(self.sent);
    }

    /// Records that the keyspace has applied everything it was sent.
    pub(crate) fn settle(&mut self) {
        self.applied = self.sent;
    }

    /// Returns the offset at which the next owner of the partition begins.
    pub(crate) fn committable(&self) -> Option<i64> {
        self.applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_may_be_committed_once_its_record_is_applied_and_not_before() {
        let mut progress = Progress::default();
        // Kafka leaves offsets out, for instance where it has compacted the topic.
        for (offset, before) in [(7, None), (20, Some(8))] {
            progress.in_hand = Some(Record { offset, key: b"key".to_vec() });
            progress.settle();
            assert_eq!(progress.committable(), before, "it is in hand");
            progress.hand_over();
            assert!(progress.in_hand.is_none());
            assert_eq!(progress.committable(), before, "it is on its way");
            progress.settle();
            assert_eq!(progress.committable(), Some(offset + 1));
        }
        progress.hand_over();
        progress.settle();
        assert_eq!(progress.committable(), Some(21), "nothing was in hand");
    }
}
