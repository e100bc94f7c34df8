use std::collections::BinaryHeap;

/// The first so many in ascending order, as if all were sorted, but with room for no more than those.
///
/// ```
/// assert_eq!(counter_keyspace::first(2, [5, 1, 4, 2]), [1, 2]);
/// ```
#[must_use]
pub fn first<T: Ord>(n: usize, items: impl IntoIterator<Item = T>) -> Vec<T> {
    // The last of the first is on top, to be replaced.
    let mut heap = BinaryHeap::new();
    for item in items {
        if heap.len() < n {
            heap.push(item);
        } else if heap.peek().is_some_and(|last| item < *last) {
            heap.pop();
            heap.push(item);
        }
    }
    heap.into_sorted_vec()
}
