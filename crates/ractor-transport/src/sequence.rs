use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a number that no other call in this process returns.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
