use std::collections::BTreeSet;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::place_set::Place;

/// Deadlines of the counters that have one, by place and in order of time. Pure.
///
/// Counters without a deadline cost nothing here.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines {
    by_place: HashMap<Place, u64, RandomState>,
    by_time: BTreeSet<(u64, Place)>,
    /// Earliest deadline, or `u64::MAX`.
    earliest_ms: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        let by_place = HashMap::with_hasher(RandomState::default());
        Self { by_place, by_time: BTreeSet::new(), earliest_ms: u64::MAX }
    }
}

impl Deadlines {
    /// Sets or removes the deadline of a place, and returns the one it had.
    pub(crate) fn set(&mut self, place: Place, deadline_ms: Option<u64>) -> Option<u64> {
        if deadline_ms.is_none() && self.by_place.is_empty() {
            return None;
        }
        let before = match deadline_ms {
            Some(deadline_ms) => self.by_place.insert(place, deadline_ms),
            None => self.by_place.remove(&place),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, place));
        }
        self.by_time.extend(deadline_ms.map(|deadline_ms| (deadline_ms, place)));
        self.earliest_ms = self.by_time.first().map_or(u64::MAX, |(deadline_ms, _)| *deadline_ms);
        before
    }

    /// Removes the deadline of a place, and moves that of the last place of its segment there, as a removal does with
    /// the counters themselves.
    pub(crate) fn swap_remove(&mut self, place: Place, last: u32) {
        if self.by_place.is_empty() {
            return;
        }
        self.set(place, None);
        if let Some(moved) = self.set((place.0, last), None) {
            self.set(place, Some(moved));
        }
    }

    /// Returns the deadline of a place.
    pub(crate) fn get(&self, place: Place) -> Option<u64> {
        if self.by_place.is_empty() { None } else { self.by_place.get(&place).copied() }
    }

    /// Returns the place with the earliest deadline.
    pub(crate) fn first(&self) -> Option<Place> {
        self.by_time.first().map(|(_, place)| *place)
    }

    /// Returns the earliest deadline, or `u64::MAX` if there is none.
    #[inline]
    pub(crate) const fn earliest_ms(&self) -> u64 {
        self.earliest_ms
    }

    pub(crate) fn len(&self) -> usize {
        self.by_place.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn deadlines_move_with_their_counters(
            steps in prop::collection::vec((0..9_u32, prop::option::of(0..9_u64), any::<bool>()), 0..60),
        ) {
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeMap::new());
            for (index, deadline_ms, removes) in steps {
                if removes {
                    let last = index + 2;
                    deadlines.swap_remove((0, index), last);
                    model.remove(&index);
                    if let Some(moved) = model.remove(&last) {
                        model.insert(index, moved);
                    }
                } else {
                    let before = match deadline_ms {
                        Some(deadline_ms) => model.insert(index, deadline_ms),
                        None => model.remove(&index),
                    };
                    prop_assert_eq!(deadlines.set((0, index), deadline_ms), before);
                }
                prop_assert_eq!(deadlines.len(), model.len());
                prop_assert_eq!(deadlines.earliest_ms(), model.values().copied().min().unwrap_or(u64::MAX));
                let first = deadlines.first().and_then(|place| deadlines.get(place));
                prop_assert_eq!(first, model.values().copied().min());
                prop_assert!((0..12).all(|index| deadlines.get((0, index)) == model.get(&index).copied()));
            }
        }
    }
}
