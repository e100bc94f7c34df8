use super::*;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn failed() -> ExitReason {
    ExitReason::Failed("boom".into())
}

/// Creates children a, b and c, running as 1, 2 and 3.
fn three(strategy: Strategy, restart: Restart) -> Children<u8> {
    let intensity = Intensity { restarts: 3, within: seconds(10) };
    let backoff = Backoff { first: seconds(1), max: seconds(60) };
    let mut children = Children::new(strategy, intensity, backoff);
    for (id, running) in [("a", 1), ("b", 2), ("c", 3)] {
        children.add(id.into(), restart, running, seconds(0));
    }
    children
}

/// Returns the children to stop, those to start, and the wait before.
fn restart_of<'a>(children: &'a Children<u8>, decision: &Decision<u8>) -> (Vec<u8>, Vec<&'a str>, Duration) {
    let Decision::Restart { stop, ticket, after } = decision else { panic!("{decision:?}") };
    (stop.iter().map(|(_, running)| *running).collect(), all_due(children, *ticket), *after)
}

/// Returns all children that wait with this ticket, in order of start.
fn all_due(children: &Children<u8>, ticket: Ticket) -> Vec<&str> {
    let waiting = children.children.values().filter(|child| child.state.ticket() == Some(ticket));
    let waiting: Vec<_> = waiting.map(|child| &*child.id).collect();
    assert_eq!(children.due(ticket).map(|id| &**id), waiting.first().copied(), "one after the other");
    waiting
}

fn states(children: &Children<u8>) -> Vec<ChildState> {
    children.status(seconds(0)).map(|status| status.state).collect()
}

use ChildState::{Finished, Restarting, Running, Starting};

#[test]
fn one_for_one_restarts_the_one_that_failed() {
    let mut children = three(Strategy::OneForOne, Restart::Permanent);
    let (id, decision) = children.ended(&2, failed(), seconds(1), 1.0);
    assert_eq!(id.as_deref(), Some("b"));
    assert_eq!(restart_of(&children, &decision), (vec![], vec!["b"], seconds(0)));
    assert_eq!(states(&children), [Running, Restarting, Running]);
    assert_eq!(children.restarted("b", 4, seconds(1)), 1);
    assert_eq!(states(&children), [Running; 3]);
}

#[test]
fn rest_for_one_stops_those_after_it_in_reverse_and_starts_all_in_order() {
    let mut children = three(Strategy::RestForOne, Restart::Permanent);
    let (_, decision) = children.ended(&1, failed(), seconds(1), 1.0);
    assert_eq!(restart_of(&children, &decision), (vec![3, 2], vec!["a", "b", "c"], seconds(0)));
    assert_eq!(
        children.ended(&3, ExitReason::Normal, seconds(1), 1.0),
        (None, Decision::Nothing),
        "that was us"
    );
}

#[test]
fn a_restart_that_something_else_has_overtaken_is_void() {
    let mut children = three(Strategy::RestForOne, Restart::Permanent);
    let (_, first) = children.ended(&2, failed(), seconds(1), 1.0);
    let (_, second) = children.ended(&1, failed(), seconds(1), 1.0);
    assert_eq!(restart_of(&children, &first).1, [""; 0]);
    assert_eq!(restart_of(&children, &second).1, ["a", "b", "c"]);
    children.remove("a");
    assert_eq!(restart_of(&children, &second).1, ["b", "c"]);
}

#[test]
fn rest_for_one_forgets_what_is_temporary_and_leaves_what_has_finished() {
    let mut children = three(Strategy::RestForOne, Restart::Permanent);
    for (id, restart, running) in [("d", Restart::Transient, 4), ("e", Restart::Temporary, 5)] {
        children.add(id.into(), restart, running, seconds(0));
    }
    children.ended(&4, ExitReason::Normal, seconds(1), 1.0);
    let (_, decision) = children.ended(&2, failed(), seconds(1), 1.0);
    assert_eq!(restart_of(&children, &decision), (vec![5, 3], vec!["b", "c"], seconds(0)));
    assert!(!children.contains("e"));
    assert_eq!(states(&children), [Running, Restarting, Restarting, Finished]);
}

#[test]
fn each_start_with_a_ticket_waits_for_the_one_before() {
    let mut children = three(Strategy::RestForOne, Restart::Permanent);
    let (_, decision) = children.ended(&2, failed(), seconds(1), 1.0);
    let Decision::Restart { ticket, .. } = decision else { panic!("{decision:?}") };
    assert_eq!(children.enqueue("d".into(), Restart::Permanent, seconds(1)), None, "behind the others");
    for (id, starter, running) in [("b", 10, 11), ("c", 12, 13), ("d", 14, 15)] {
        assert_eq!(children.due(ticket).map(|id| &**id), Some(id));
        children.starting(id, starter);
        assert_eq!(children.start_under_way(id), Some(ticket));
        assert_eq!(children.due(ticket), None);
        assert_eq!(children.id_of(&starter).map(|id| &**id), Some(id));
        assert_eq!(children.restarted(id, running, seconds(1)), u64::from(id != "d"));
        assert_eq!((children.start_under_way(id), children.id_of(&starter)), (None, None));
    }
    assert_eq!(children.due(ticket), None);
    assert_eq!(states(&children), [Running; 4]);
}

#[test]
fn a_failure_before_it_cancels_a_start() {
    let mut children = three(Strategy::RestForOne, Restart::Permanent);
    let (_, first) = children.ended(&3, failed(), seconds(1), 1.0);
    children.starting("c", 10);
    let (_, second) = children.ended(&2, failed(), seconds(1), 1.0);
    assert_eq!(restart_of(&children, &second), (vec![10], vec!["b", "c"], seconds(0)));
    assert_eq!(restart_of(&children, &first).1, [""; 0]);
    assert_eq!(children.id_of(&10), None, "what becomes of it does not matter any more");
}

#[test]
fn a_new_child_that_does_not_start_is_forgotten_and_not_held_against_anybody() {
    let mut children = three(Strategy::OneForOne, Restart::Permanent);
    for _ in 0..10 {
        let ticket = children.enqueue("d".into(), Restart::Permanent, seconds(1)).unwrap();
        assert_eq!(all_due(&children, ticket), ["d"]);
        children.starting("d", 10);
        assert_eq!(states(&children), [Running, Running, Running, Starting]);
        assert_eq!(children.not_restarted("d", "no start".into(), seconds(1), 1.0), Decision::Nothing);
        assert!(!children.contains("d"));
    }
    let (_, decision) = children.ended(&1, failed(), seconds(1), 1.0);
    assert_eq!(restart_of(&children, &decision).1, ["a"]);
}

#[test]
fn whether_a_child_is_restarted_depends_on_how_it_ended() {
    for (restart, after_stop, after_failure) in [
        (Restart::Permanent, Some(Restarting), Some(Restarting)),
        (Restart::Transient, Some(Finished), Some(Restarting)),
        (Restart::Temporary, None, None),
    ] {
        for (end, expected) in [(ExitReason::Normal, after_stop), (failed(), after_failure)] {
            let mut children = three(Strategy::OneForOne, restart);
            children.ended(&1, end, seconds(1), 1.0);
            let state =
                children.status(seconds(1)).find(|status| &*status.id == "a").map(|status| status.state);
            assert_eq!(state, expected, "{restart:?}");
        }
    }
}

#[test]
fn failures_in_a_row_wait_longer_until_it_has_run_for_a_while() {
    let mut children = three(Strategy::OneForOne, Restart::Permanent);
    let mut waits = Vec::new();
    for (n, second) in [0, 4, 8, 100].into_iter().enumerate() {
        let running = if n == 0 { 1 } else { 10 };
        let (_, decision) = children.ended(&running, failed(), seconds(second), 1.0);
        waits.push(restart_of(&children, &decision).2);
        children.restarted("a", 10, seconds(second));
    }
    assert_eq!(waits, [0, 1, 2, 0].map(seconds));
}

#[test]
fn a_start_that_fails_counts_as_a_restart() {
    let mut children = three(Strategy::OneForOne, Restart::Permanent);
    children.ended(&1, failed(), seconds(0), 1.0);
    let decision = children.not_restarted("a", "no start".into(), seconds(0), 1.0);
    assert_eq!(restart_of(&children, &decision), (vec![], vec!["a"], seconds(1)));
    let status = children.status(seconds(3)).next().unwrap();
    assert_eq!((status.restarts, status.last_failure.as_deref()), (1, Some("no start")));
    assert_eq!((status.state, status.since), (Restarting, seconds(3)));
}

#[test]
fn too_many_restarts_in_too_little_time_are_given_up() {
    let mut children = three(Strategy::OneForOne, Restart::Permanent);
    for running in [1, 2, 3] {
        children.ended(&running, failed(), seconds(9), 1.0);
    }
    children.restarted("a", 4, seconds(9));
    assert_eq!(children.ended(&4, failed(), seconds(18), 1.0).1, Decision::GiveUp);
}

#[test]
fn children_stop_in_reverse_order_of_start() {
    let mut children = three(Strategy::OneForOne, Restart::Permanent);
    children.ended(&2, failed(), seconds(1), 1.0);
    assert_eq!(children.running_in_reverse().map(|(_, running)| *running).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(children.remove("b"), (true, None));
    assert_eq!(children.remove("c"), (true, Some(3)));
    assert_eq!(children.remove("c"), (false, None));
}
