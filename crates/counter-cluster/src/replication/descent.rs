use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::{Ledger, Parts, bucket_of_part};
use crate::wire::PARTS_AT_ONCE;

/// Number of entries to read for an answer at which no further bucket is asked for, so that no actor is busy with it
/// for long.
const ENTRIES_AT_ONCE: usize = 256 * 1024;

/// Parts of columns that differ from a peer's, and whose divisions have yet to be compared. Pure.
///
/// It holds each part once. As each has more than a leaf's entries, it is small beside the ledger.
#[derive(Debug, Default)]
pub(super) struct Descent {
    /// Paths by level and column. The deepest come first, so that few parts wait.
    waiting: BTreeMap<(Reverse<u8>, u32), BTreeSet<u32>>,
    /// Parts that the peer has been asked for, and their column.
    asked: Option<(u32, Parts)>,
}

impl Descent {
    /// Adds parts that differ.
    pub(super) fn add(&mut self, column: u32, level: u8, paths: Vec<u32>) {
        if !paths.is_empty() {
            self.waiting.entry((Reverse(level), column)).or_default().extend(paths);
        }
    }

    /// Returns true if there is nothing left to compare.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_none()
    }

    /// Returns the next parts to ask the peer for and their column, or `None` if there are none or others are being
    /// asked for.
    pub(super) fn next(&mut self, salt: u64, ledger: &Ledger) -> Option<(u32, Parts)> {
        if self.asked.is_some() {
            return None;
        }
        let mut first = self.waiting.first_entry()?;
        let (Reverse(level), column) = *first.key();
        let (mut paths, mut entries, mut bucket) = (Vec::new(), 0, None);
        while paths.len() < PARTS_AT_ONCE
            && let Some(path) = first.get().first().copied()
        {
            let next = bucket_of_part(level, path);
            if bucket.replace(next) != Some(next) {
                if entries >= ENTRIES_AT_ONCE {
                    break;
                }
                entries += ledger.entries_in(column, next);
            }
            first.get_mut().pop_first();
            paths.push(path);
        }
        if first.get().is_empty() {
            first.remove();
        }
        self.asked = Some((column, Parts { salt, level, paths }));
        self.asked.clone()
    }

    /// Takes the parts that have been asked for with this salt, and their column. Of two answers to one question, the
    /// second is for nothing.
    pub(super) fn answered(&mut self, salt: u64) -> Option<(u32, Parts)> {
        self.asked.take_if(|(_, parts)| parts.salt == salt)
    }

    /// Notes that there will be no answer, so that the parts have to be asked for again.
    pub(super) fn failed(&mut self, salt: u64) {
        if let Some((column, Parts { level, paths, .. })) = self.answered(salt) {
            self.add(column, level, paths);
        }
    }
}
