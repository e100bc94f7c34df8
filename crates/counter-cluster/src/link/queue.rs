use std::collections::VecDeque;

use crate::ledger::{Place, slots};

/// Queue of places in a ledger, each of which waits once. Pure.
///
/// Pages wait in the order in which the first place on them was added, and the places of a page come together. So a
/// place takes a bit, and a page that has places waiting 4 bytes more; what is added to a page while its places are
/// being taken waits for the page's next turn.
#[derive(Debug, Default)]
pub(crate) struct PlaceQueue {
    /// Waiting slots, by page.
    waiting: Vec<u64>,
    /// Pages in the order of their turns.
    pages: VecDeque<u32>,
    /// Number of turns that have begun.
    turns: u64,
    /// Page whose turn it is, and those of its slots that are still to be taken.
    page: u32,
    slots: u64,
    len: usize,
}

impl PlaceQueue {
    pub(crate) fn push(&mut self, Place { page, slot }: Place) {
        let index = page as usize;
        if self.waiting.len() <= index {
            self.waiting.resize(index + 1, 0);
        }
        let (waiting, bit) = (&mut self.waiting[index], 1 << slot);
        if *waiting == 0 {
            self.pages.push_back(page);
        }
        self.len += usize::from(*waiting & bit == 0);
        *waiting |= bit;
    }

    /// Takes the next place.
    pub(crate) fn pop(&mut self) -> Option<Place> {
        if self.slots == 0 {
            self.page = self.pages.pop_front()?;
            self.turns += 1;
            self.slots = std::mem::take(&mut self.waiting[self.page as usize]);
        }
        let slot = slots(self.slots).next()?;
        self.slots &= self.slots - 1;
        self.len -= 1;
        Some(Place { page: self.page, slot })
    }

    /// Returns the number of the turn in which the next place is taken.
    pub(crate) const fn turn(&self) -> u64 {
        if self.slots == 0 { self.turns } else { self.turns - 1 }
    }

    /// Returns the number of the first turn after those in which the places that wait now are taken.
    pub(crate) fn end(&self) -> u64 {
        self.turns + self.pages.len() as u64
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u32, u8),
        Pop,
        /// Everything that waits now comes before this turn.
        End,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u32, 0..4_u8).prop_map(|(page, slot)| Step::Push(page, slot)),
            4 => Just(Step::Pop),
            1 => Just(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn each_place_is_taken_once_and_before_an_end_that_was_set_behind_it(steps in prop::collection::vec(step(), 0..200)) {
            let mut queue = PlaceQueue::default();
            // A place can wait twice: to be taken now, and in the next turn of its page.
            let mut model = Vec::<Place>::new();
            let mut ends = Vec::<(u64, BTreeSet<Place>)>::new();
            for step in steps.into_iter().chain(vec![Step::Pop; 50]) {
                match step {
                    Step::Push(page, slot) => {
                        let place = Place { page, slot };
                        let before = queue.len();
                        queue.push(place);
                        if queue.len() > before {
                            model.push(place);
                        } else {
                            prop_assert!(model.contains(&place));
                        }
                    }
                    Step::Pop => {
                        let place = queue.pop();
                        prop_assert_eq!(place.is_none(), model.is_empty());
                        if let Some(place) = place {
                            let at = model.iter().position(|waiting| *waiting == place);
                            prop_assert!(at.is_some());
                            model.remove(at.unwrap());
                            ends.iter_mut().for_each(|(_, waiting)| _ = waiting.remove(&place));
                        }
                    }
                    Step::End => ends.push((queue.end(), model.iter().copied().collect())),
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(ends.iter().all(|(end, waiting)| queue.turn() < *end || waiting.is_empty()));
            }
            prop_assert!(model.is_empty());
            prop_assert!(ends.iter().all(|(end, _)| queue.turn() >= *end));
        }
    }
}
