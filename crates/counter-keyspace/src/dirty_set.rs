use std::collections::VecDeque;

use fixedbitset::FixedBitSet;

/// Entries that somebody has yet to hear of, each once, in the order in which they were marked. Pure.
///
/// An entry is named by its part and its index in there. It is told as it stands when it is taken out, so what changes
/// again while it waits costs nothing more.
#[derive(Clone, Debug, Default)]
pub struct DirtySet {
    /// For each part: which numbers are in `order`.
    marked: Vec<FixedBitSet>,
    order: VecDeque<(u32, u32)>,
}

impl DirtySet {
    /// Adds an entry. Returns false if it was there already.
    ///
    /// # Panics
    /// With 2³² parts or more.
    pub fn insert(&mut self, part: usize, index: u32) -> bool {
        if self.marked.len() <= part {
            self.marked.resize_with(part + 1, FixedBitSet::new);
        }
        let (marked, bit) = (&mut self.marked[part], index as usize);
        if marked.len() <= bit {
            // Twice as many, so that a part that grows is not copied each time.
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

    /// How many entries are marked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
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
