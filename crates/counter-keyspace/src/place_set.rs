use std::mem;

/// Segment of a counter and its index there. Removing a counter moves the last one of the segment to its place.
pub(crate) type Place = (u32, u32);

/// Set of places, two bits for each place at most. Pure.
///
/// Insertion and removal take constant time. Places come out by segment and in order, so that whoever reads their
/// entries walks through the memory once.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlaceSet {
    segments: Vec<IndexSet>,
    len: usize,
    /// Segments before this one are empty.
    first: usize,
}

/// Places of one segment.
#[derive(Clone, Debug, Default)]
struct IndexSet {
    words: Vec<u64>,
    /// A bit for each word that is not zero.
    summary: Vec<u64>,
    /// Words of the summary before this one are zero.
    first: usize,
}

const WORD: usize = u64::BITS as usize;

impl PlaceSet {
    /// Inserts a place. Returns false if it was there.
    #[inline]
    pub(crate) fn insert(&mut self, (segment, index): Place) -> bool {
        let segment = segment as usize;
        if self.segments.len() <= segment {
            self.segments.resize_with(segment + 1, IndexSet::default);
        }
        let inserted = self.segments[segment].insert(index as usize);
        self.len += usize::from(inserted);
        self.first = self.first.min(segment);
        inserted
    }

    /// Inserts all places of a table whose segments have these lengths.
    pub(crate) fn fill(&mut self, lens: impl Iterator<Item = usize>) {
        self.segments = lens.map(IndexSet::up_to).collect();
        self.len = self.segments.iter().map(IndexSet::len).sum();
        self.first = 0;
    }

    /// Removes a place. Returns false if it was not there.
    #[inline]
    pub(crate) fn remove(&mut self, (segment, index): Place) -> bool {
        let removed = self.segments.get_mut(segment as usize).is_some_and(|it| it.remove(index as usize));
        self.len -= usize::from(removed);
        removed
    }

    /// Removes a place and moves the last one of its segment there, as a removal does with the counters themselves.
    /// Returns true if the removed place was in the set.
    pub(crate) fn swap_remove(&mut self, place: Place, last: u32) -> bool {
        let removed = self.remove(place);
        if self.remove((place.0, last)) {
            self.insert(place);
        }
        removed
    }

    /// Removes and returns the first place.
    pub(crate) fn pop(&mut self) -> Option<Place> {
        while let Some(segment) = self.segments.get_mut(self.first) {
            if let Some(index) = segment.pop() {
                self.len -= 1;
                let place = (u32::try_from(self.first), u32::try_from(index));
                return Some((
                    place.0.expect("it came from 32 bits"),
                    place.1.expect("it came from 32 bits"),
                ));
            }
            self.first += 1;
        }
        None
    }

    /// Moves all places of another set into this one.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.len == 0 {
            mem::swap(self, other);
            return;
        }
        if other.len == 0 {
            return;
        }
        if self.segments.len() < other.segments.len() {
            self.segments.resize_with(other.segments.len(), IndexSet::default);
        }
        for (into, from) in self.segments.iter_mut().zip(&mut other.segments) {
            self.len += into.append(from);
        }
        self.first = self.first.min(other.first);
        other.len = 0;
    }

    /// Removes all places, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.segments.iter_mut().for_each(IndexSet::clear);
            self.len = 0;
        }
    }

    pub(crate) fn contains(&self, (segment, index): Place) -> bool {
        self.segments.get(segment as usize).is_some_and(|it| it.contains(index as usize))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl IndexSet {
    /// Creates the set of the first `len` indices.
    fn up_to(len: usize) -> Self {
        let words = ones(len);
        let summary = ones(words.len());
        Self { words, summary, first: 0 }
    }

    #[inline]
    fn insert(&mut self, index: usize) -> bool {
        let (at, bit) = (index / WORD, 1 << (index % WORD));
        if self.words.len() <= at {
            self.grow(at);
        }
        let word = &mut self.words[at];
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        self.summary[at / WORD] |= 1 << (at % WORD);
        self.first = self.first.min(at / WORD);
        true
    }

    #[cold]
    fn grow(&mut self, at: usize) {
        // Doubled, so that the bits of a growing segment are not copied each time.
        self.words.resize(2 * (at + 1), 0);
        self.summary.resize(self.words.len().div_ceil(WORD), 0);
    }

    fn remove(&mut self, index: usize) -> bool {
        let (at, bit) = (index / WORD, 1 << (index % WORD));
        let Some(word) = self.words.get_mut(at).filter(|word| **word & bit != 0) else { return false };
        *word &= !bit;
        if *word == 0 {
            self.summary[at / WORD] &= !(1 << (at % WORD));
        }
        true
    }

    fn pop(&mut self) -> Option<usize> {
        let index = self.next_word().map(|at| at * WORD + self.words[at].trailing_zeros() as usize);
        index.filter(|index| self.remove(*index))
    }

    /// Moves all indices of another set into this one, and returns the number of those that were not there.
    fn append(&mut self, other: &mut Self) -> usize {
        let mut new = 0;
        while let Some(at) = other.next_word() {
            if self.words.len() <= at {
                self.grow(at);
            }
            let moved = mem::take(&mut other.words[at]);
            other.summary[at / WORD] &= !(1 << (at % WORD));
            new += (moved & !self.words[at]).count_ones() as usize;
            self.words[at] |= moved;
            self.summary[at / WORD] |= 1 << (at % WORD);
            self.first = self.first.min(at / WORD);
        }
        new
    }

    fn clear(&mut self) {
        while let Some(at) = self.next_word() {
            self.words[at] = 0;
            self.summary[at / WORD] &= !(1 << (at % WORD));
        }
    }

    /// Returns the index of the first word that is not zero.
    fn next_word(&mut self) -> Option<usize> {
        while let Some(summary) = self.summary.get(self.first) {
            if *summary != 0 {
                return Some(self.first * WORD + summary.trailing_zeros() as usize);
            }
            self.first += 1;
        }
        None
    }

    fn contains(&self, index: usize) -> bool {
        self.words.get(index / WORD).is_some_and(|word| word & 1 << (index % WORD) != 0)
    }

    fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Returns words of which the first `bits` bits are one.
fn ones(bits: usize) -> Vec<u64> {
    let mut words = vec![u64::MAX; bits.div_ceil(WORD)];
    if let Some(last) = words.last_mut()
        && !bits.is_multiple_of(WORD)
    {
        *last >>= WORD - bits % WORD;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Place),
        Remove(Place),
        SwapRemove(Place, u32),
        Pop,
        Append(Vec<Place>),
        Fill(Vec<usize>),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = || (0..3_u32, prop_oneof![0..9_u32, 0..9_000_u32]);
        prop_oneof![
            9 => place().prop_map(Step::Insert),
            3 => place().prop_map(Step::Remove),
            3 => (place(), 0..9_u32).prop_map(|(place, more)| Step::SwapRemove(place, place.1 + more)),
            6 => Just(Step::Pop),
            2 => prop::collection::vec(place(), 0..20).prop_map(Step::Append),
            1 => prop::collection::vec(0..200_usize, 0..3).prop_map(Step::Fill),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_set(steps in prop::collection::vec(step(), 0..100)) {
            let (mut set, mut model) = (PlaceSet::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(place) => prop_assert_eq!(set.insert(place), model.insert(place)),
                    Step::Remove(place) => prop_assert_eq!(set.remove(place), model.remove(&place)),
                    Step::SwapRemove(place, last) => {
                        prop_assert_eq!(set.swap_remove(place, last), model.remove(&place));
                        if model.remove(&(place.0, last)) {
                            model.insert(place);
                        }
                    }
                    Step::Pop => prop_assert_eq!(set.pop(), model.pop_first()),
                    Step::Append(places) => {
                        let mut other = PlaceSet::default();
                        places.iter().for_each(|place| _ = other.insert(*place));
                        set.append(&mut other);
                        model.extend(places);
                        prop_assert_eq!((other.len(), other.pop()), (0, None));
                    }
                    Step::Fill(lens) => {
                        set.fill(lens.iter().copied());
                        model = (0..).zip(lens).flat_map(|(segment, len)| {
                            (0..u32::try_from(len).unwrap()).map(move |index| (segment, index))
                        }).collect();
                    }
                    Step::Clear => {
                        set.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert!(model.iter().all(|place| set.contains(*place)));
            prop_assert_eq!(std::iter::from_fn(|| set.pop()).collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
