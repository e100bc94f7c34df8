//! Names of the files in a store's directory.

/// Segment that has been reserved ahead of need.
pub(crate) const SPARE: &str = "spare";

/// Snapshot that is being written.
pub(crate) const UNFINISHED_SNAPSHOT: &str = "snapshot.tmp";

const SEGMENT: &str = ".log";
const SNAPSHOT: &str = ".snapshot";

/// Numbered files of a directory, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) segments: Vec<u64>,
    /// Snapshots by the sequence number at which they start.
    pub(crate) snapshots: Vec<u64>,
    pub(crate) has_spare: bool,
    pub(crate) has_unfinished_snapshot: bool,
    pub(crate) has_watermark: bool,
}

impl Files {
    /// Sorts the names of a directory's files. Others are left alone.
    pub(crate) fn of(names: &[String]) -> Self {
        let numbers = |suffix| {
            let mut numbers: Vec<_> = names.iter().filter_map(|name| number(name, suffix)).collect();
            numbers.sort_unstable();
            numbers
        };
        let has = |name: &str| names.iter().any(|other| other == name);
        Self {
            segments: numbers(SEGMENT),
            snapshots: numbers(SNAPSHOT),
            has_spare: has(SPARE),
            has_unfinished_snapshot: has(UNFINISHED_SNAPSHOT),
            has_watermark: has(crate::watermark::NAME),
        }
    }

    /// Returns true if there is nothing that a store has written its state to.
    pub(crate) const fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.snapshots.is_empty()
    }
}

/// Returns the name of a segment.
pub(crate) fn segment(number: u64) -> String {
    format!("{number:06}{SEGMENT}")
}

/// Returns the name of the snapshot that starts at this sequence number.
pub(crate) fn snapshot(start: u64) -> String {
    format!("{start:06}{SNAPSHOT}")
}

fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let number = digits.parse().ok()?;
    (format!("{number:06}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_names_and_others_left_alone() {
        let names =
            ["000010.log", "2.log", "000002.log", "1000000.log", "x.log", "000007.snapshot", "spare", "lock"];
        let files = Files::of(&names.map(String::from));
        assert_eq!((files.segments, files.snapshots), (vec![2, 10, 1_000_000], vec![7]));
        assert!(files.has_spare && !files.has_unfinished_snapshot && !files.has_watermark);
        assert_eq!(segment(1_000_000), "1000000.log");
        assert_eq!(snapshot(0), "000000.snapshot");
    }
}
