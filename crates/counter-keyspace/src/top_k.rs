use std::collections::BinaryHeap;

/// Returns the `n` smallest items in ascending order, with memory for no more than those.
///
/// ```
/// assert_eq!(counter_keyspace::top_k(2, [5, 1, 4, 2]), [1, 2]);
/// ```
#[must_use]
pub fn top_k<T: Ord>(n: usize, items: impl IntoIterator<Item = T>) -> Vec<T> {
    // The largest of the smallest `n` is on top, to be replaced.
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
