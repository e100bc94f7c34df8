use std::collections::VecDeque;
use std::num::NonZeroUsize;

/// Contents of an outbox: combines items and bounds them.
///
/// A batch is pure, and an empty one has room for at least one item.
pub trait Batch: Send + 'static {
    /// Item that senders push. It may borrow, if pushing it copies what it needs.
    type Item<'a>: Send;

    /// Puts an item in, alone or combined with others.
    ///
    /// # Errors
    /// Returns the item if there is no room for it. The batch is then unchanged.
    fn push<'a>(&mut self, item: Self::Item<'a>) -> Result<(), Self::Item<'a>>;

    /// Returns the number of items. Items that were combined count individually.
    fn len(&self) -> u64;

    /// Returns true if there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an empty batch with the same bound.
    #[must_use]
    fn empty(&self) -> Self;

    /// Puts items back that were taken and not applied, before those that were pushed since. This may exceed the
    /// bound.
    fn put_back(&mut self, older: Self);
}

/// Items in the order of their arrival, up to a capacity.
#[derive(Clone, Debug)]
pub struct Fifo<T> {
    items: VecDeque<T>,
    capacity: NonZeroUsize,
}

impl<T> Fifo<T> {
    /// Creates an empty queue for up to `capacity` items.
    #[must_use]
    pub const fn bounded(capacity: NonZeroUsize) -> Self {
        Self { items: VecDeque::new(), capacity }
    }

    /// Removes and returns the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }
}

impl<T: Send + 'static> Batch for Fifo<T> {
    type Item<'a> = T;

    fn push<'a>(&mut self, item: Self::Item<'a>) -> Result<(), Self::Item<'a>> {
        if self.items.len() >= self.capacity.get() {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.items.len() as u64
    }

    fn empty(&self) -> Self {
        Self::bounded(self.capacity)
    }

    fn put_back(&mut self, mut older: Self) {
        older.items.append(&mut self.items);
        self.items = older.items;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_comes_before_what_has_come_since() {
        let mut fifo = Fifo::bounded(NonZeroUsize::new(2).unwrap());
        for item in [1, 2] {
            fifo.push(item).unwrap();
        }
        assert_eq!(fifo.push(3), Err(3));
        let empty = fifo.empty();
        let mut taken = std::mem::replace(&mut fifo, empty);
        assert_eq!(taken.pop(), Some(1));
        fifo.push(3).unwrap();
        fifo.put_back(taken);
        assert_eq!((fifo.pop(), fifo.pop(), fifo.pop()), (Some(2), Some(3), None));
    }
}
