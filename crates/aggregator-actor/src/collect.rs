use counter_protocol::{AggregatedStats, CounterMessage, CounterStats, GetGroupStats};
use ractor::concurrency::{OneshotReceiver, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::member::{Answer, Member, Report};

/// Reply that a member still has to send.
enum Owed {
    Counter(OneshotReceiver<CounterStats>),
    Group(OneshotReceiver<AggregatedStats>),
}

/// Asks all members at once and waits for their answers until the deadline.
///
/// The replies can be awaited one after the other, because all members were asked before. Once the deadline has
/// passed, a reply that is there is still taken, and a missing one costs no more time.
pub(crate) async fn collect(members: Vec<Member>, deadline: Instant) -> Vec<Answer> {
    let asked: Vec<_> = members.into_iter().map(|member| (ask(&member), member)).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (owed, member) in asked {
        let report = match owed {
            Owed::Counter(reply) => timeout_at(deadline, reply).await.map(|reply| reply.map(Report::Counter)),
            Owed::Group(reply) => timeout_at(deadline, reply).await.map(|reply| reply.map(Report::Group)),
        };
        answers.push(Answer { member, report: report.ok().and_then(Result::ok) });
    }
    answers
}

/// Sends a member its question. A dead member drops the port, which ends the wait for its reply at once.
fn ask(member: &Member) -> Owed {
    match member {
        Member::Counter(counter) => {
            let (port, reply) = oneshot();
            let _ = counter.cast(CounterMessage::GetStats(port.into()));
            Owed::Counter(reply)
        }
        Member::Group(group) => {
            let (port, reply) = oneshot();
            let _ = group.send_message(GetGroupStats(port.into()));
            Owed::Group(reply)
        }
    }
}
