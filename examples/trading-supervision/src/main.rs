//! A market data feed, an order book, a risk manager and an executor under a supervisor. The venue refuses the feed's
//! first connections, and a garbled quote makes the risk manager panic. Both are started again, no accepted order is
//! lost, and the program fails otherwise.
//!
//! Look at stage.rs: a `SupervisedActor` leases its `Desk`, which therefore outlives it, and quotes travel through an
//! outbox, which is redirected to its successor. A quote that has made an actor panic is not tried again, only
//! counted.

#![expect(clippy::print_stdout, reason = "printing is what an example is for")]

mod book;
mod feed;
mod risk;
mod stage;

use ractor_supervision::{ChildStatus, Options, SupervisorHandle};

use crate::book::Book;
use crate::feed::Feed;
use crate::risk::{Executor, Risk};
use crate::stage::{DeskSlot, Work, Worker};

const QUOTES: u64 = 10_000;
/// Number of connections that the venue refuses. The supervisor starts the feed again at once after the first, and
/// waits a little after the second.
const REFUSED_CONNECTIONS: u64 = 2;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        println!("a panic, for the supervisor to deal with: {}\n", panic.payload_as_str().unwrap_or("?"));
    }));
    let (actors, book, risk, executor) = trade().await?;
    let (book, risk, executor) = (book.lease().await, risk.lease().await, executor.lease().await);
    println!("actor     restarts  last failure");
    for ChildStatus { id, restarts, last_failure, .. } in actors {
        println!("{id:<10}{restarts:>8}  {}", last_failure.as_deref().unwrap_or("-"));
    }
    let Book { quotes, orders, .. } = book.stage;
    let (Risk { accepted, refused, position: allowed }, poisoned) = (&risk.stage, risk.poisoned);
    let Executor { executed, position } = &executor.stage;
    println!("\n{quotes} quotes, {orders} orders sent");
    println!("{accepted} accepted, {refused} refused by risk, {poisoned} poisoned");
    println!("{executed} executed, which leaves a position of {position} lots");
    anyhow::ensure!(quotes == QUOTES && orders == accepted + refused + poisoned, "quotes or orders got lost");
    anyhow::ensure!((accepted, allowed) == (executed, position), "accepted orders got lost");
    println!("right: sent = accepted + refused + poisoned, and accepted = executed");
    Ok(())
}

/// Plays the venue, and returns when the last quote has gone through all actors.
async fn trade() -> anyhow::Result<(Vec<ChildStatus>, DeskSlot<Book>, DeskSlot<Risk>, DeskSlot<Executor>)> {
    let executor = Worker::supervised("executor", Executor::default(), None);
    let risk = Worker::supervised("risk", Risk::default(), Some(executor.outbox()));
    let book = Worker::supervised("book", Book::default(), Some(risk.outbox()));
    let feed = Worker::supervised("feed", Feed(REFUSED_CONNECTIONS), Some(book.outbox()));
    let (inbox, desks) = (feed.outbox(), (book.state(), risk.state(), executor.state()));
    let children = [executor.into(), risk.into(), book.into(), feed.into()];
    let supervisor = SupervisorHandle::start(Options::default(), children.into()).await?;
    let session = async {
        for number in 0..QUOTES {
            inbox.send(feed::quote(number)).await?;
        }
        anyhow::Ok(inbox.call(Work::Settle).await?)
    };
    tokio::select! {
        done = session => done?,
        _ = supervisor.actor().wait(None) => anyhow::bail!("the supervisor has given up"),
    }
    let actors = supervisor.children().await?;
    supervisor.shutdown().await;
    let (book, risk, executor) = desks;
    Ok((actors, book, risk, executor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Stage;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn crashes_leave_what_a_loop_without_actors_would() {
        let (mut book, mut risk, mut executor) = (Book::default(), Risk::default(), Executor::default());
        for number in 0..QUOTES {
            let order = book.work_on(feed::quote(number)).filter(|_| number != feed::GARBLED);
            order.and_then(|order| risk.work_on(order)).map(|order| executor.work_on(order));
        }
        let (actors, book_desk, risk_desk, executor_desk) = trade().await.unwrap();
        let risk_desk = risk_desk.lease().await;
        assert_eq!((&risk_desk.stage, risk_desk.poisoned), (&risk, 1));
        assert_eq!(book_desk.lease().await.stage, book);
        assert_eq!(executor_desk.lease().await.stage, executor);
        let restarts: Vec<_> = actors.iter().map(|actor| (&*actor.id, actor.restarts)).collect();
        assert_eq!(restarts, [("executor", 0), ("risk", 1), ("book", 0), ("feed", REFUSED_CONNECTIONS)]);
    }
}
