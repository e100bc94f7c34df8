use std::collections::BTreeMap;
use std::fmt;

/// Kind of fault, counted each time that it has had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Delay,
    RequestLost,
    ReplyLost,
    Duplicate,
    Reordered,
    Partition,
    OneWayPartition,
    Disconnected,
    Frozen,
    CrashAtInstant,
    CrashAtOperation,
    Restart,
    PowerFailure,
    ProcessKilled,
    CrashInRecovery,
    DiskError,
    DiskFull,
    Rot,
    RefusedToStart,
    ShardKilled,
    ReplicatorKilled,
    EndpointKilled,
    ShardPanicked,
    ClockForward,
    ClockBack,
    AnswerLost,
    RepeatedLater,
    CallCancelled,
    HungUp,
    Copied,
    SlowDisk,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 31] = [
        Self::Delay,
        Self::RequestLost,
        Self::ReplyLost,
        Self::Duplicate,
        Self::Reordered,
        Self::Partition,
        Self::OneWayPartition,
        Self::Disconnected,
        Self::Frozen,
        Self::CrashAtInstant,
        Self::CrashAtOperation,
        Self::Restart,
        Self::PowerFailure,
        Self::ProcessKilled,
        Self::CrashInRecovery,
        Self::DiskError,
        Self::DiskFull,
        Self::Rot,
        Self::RefusedToStart,
        Self::ShardKilled,
        Self::ReplicatorKilled,
        Self::EndpointKilled,
        Self::ShardPanicked,
        Self::ClockForward,
        Self::ClockBack,
        Self::AnswerLost,
        Self::RepeatedLater,
        Self::CallCancelled,
        Self::HungUp,
        Self::Copied,
        Self::SlowDisk,
    ];
}

/// Number of times that each kind of fault has had an effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Kind, u64>);

impl Coverage {
    /// Counts a fault that has had an effect.
    pub(crate) fn fired(&mut self, kind: Kind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Adds the counts of another simulation.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(kind, times)| *self.0.entry(*kind).or_default() += times);
    }

    /// Returns the kinds that have never had an effect.
    #[must_use]
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| !self.0.contains_key(kind)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, kind) in Kind::ALL.iter().enumerate() {
            let separator = if n == 0 { "" } else { ", " };
            write!(f, "{separator}{kind:?} {}", self.0.get(kind).copied().unwrap_or_default())?;
        }
        Ok(())
    }
}
