use std::collections::VecDeque;

use fixedbitset::FixedBitSet;

/// Set of changed entries, each once, in the order in which they were marked. Pure.
///
/// An entry is identified by its part and its index in there. Its value is read when it is taken out, so an entry
/// that changes again before costs nothing more.
#[derive(Clone, Debug, Default)]
pub struct DirtySet {
    /// Per part, the indices that are in `order`.
    marked: Vec<FixedBitSet>,
    order: VecDeque<(u32, u32)>,
}

impl DirtySet {
    /// DirtySet an entry. Returns false if it was marked already.
    ///
    /// # Panics
    /// With 2³² parts or more.
    pub fn insert(&mut self, part: usize, index: u32) -> bool {
        if self.marked.len() <= part {
            self.marked.resize_with(part + 1, FixedBitSet::new);
        }
        let (marked, bit) = (&mut self.marked[part], index as usize);
        if marked.len() <= bit {
            // Doubled, so that the bits of a growing part are not copied each time.
            marked.grow(2 * (bit + 1));
        }
        if marked.put(bit) {
            return false;
        }
        self.order.push_back((u32::try_from(part).expect("there are fewer than 2^32 parts"), index));
        true
    }

    /// Takes out the entry that was marked first.
    pub fn pop(&mut self) -> Option<(usize, u32)> {
        let (part, index) = self.order.pop_front()?;
        let part = part as usize;
        self.marked[part].set(index as usize, false);
        Some((part, index))
    }

    /// Returns the number of marked entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns true if no entry is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_mark_comes_out_once_in_order(steps in prop::collection::vec(prop::option::of((0..3_usize, 0..200_u32)), 0..100)) {
            let (mut dirty, mut model) = (DirtySet::default(), Vec::new());
            for step in steps {
                match step {
                    Some(entry) => {
                        prop_assert_eq!(dirty.insert(entry.0, entry.1), !model.contains(&entry));
                        if !model.contains(&entry) {
                            model.push(entry);
                        }
                    }
                    None => {
                        let expected = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(dirty.pop(), expected);
                    }
                }
                prop_assert_eq!(dirty.len(), model.len());
            }
        }
    }
}
