//! Which operations go to the log together. Pure.

use std::collections::HashSet;

use counter_keyspace::Operation;

/// Returns the number of operations, of those at the beginning, that can be carried out by writing all increments first
/// and reading all values then: a question does not see an increment that comes behind it.
pub(super) fn run_len<N: AsRef<[u8]>>(operations: &[(N, Operation)]) -> usize {
    let mut asked = HashSet::new();
    let behind_a_question = operations.iter().position(|(name, operation)| match operation {
        Operation::Add(_) => asked.contains(name.as_ref()),
        _ => {
            asked.insert(name.as_ref());
            false
        }
    });
    behind_a_question.unwrap_or(operations.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_increment_waits_for_the_questions_before_it() {
        let (add, get) = (Operation::Add(1), Operation::Get);
        assert_eq!(run_len::<&str>(&[]), 0);
        assert_eq!(run_len(&[("a", add), ("a", get), ("b", add), ("b", get)]), 4);
        assert_eq!(run_len(&[("a", get), ("b", add), ("a", add), ("b", get)]), 2);
        assert_eq!(run_len(&[("a", add), ("a", add), ("a", get), ("a", add)]), 3);
    }
}
