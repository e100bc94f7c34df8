//! How the supervisor starts the aggregator and the counters, the first time and every time after.

use aggregator_actor::{
    AggregatorActor, AggregatorArguments, AggregatorHandle, AggregatorLife, AggregatorOptions,
};
use counter_actor::{Counter, CounterArguments, CounterLife};
use counter_protocol::{AggregatorMessage, CounterMessage, CounterName, Delta};
use ractor::Actor;
use ractor_outbox::{Fifo, Outbox};
use ractor_supervision::{ChildSpec, Home};

/// The aggregator: its counters survive, and its handles' outboxes follow it.
pub(crate) fn aggregator(
    options: AggregatorOptions,
    actor: AggregatorActor,
    outbox: Outbox<Fifo<AggregatorMessage>, AggregatorMessage>,
) -> ChildSpec {
    let (home, closed) = (Home::new(AggregatorLife::default()), outbox.clone());
    let spec = ChildSpec::new("aggregator", move |supervisor| {
        let (home, actor, outbox) = (home.clone(), actor.clone(), outbox.clone());
        async move {
            let arguments = AggregatorArguments { options, life: home.lease().await };
            let (incarnation, _task) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
            outbox.redirect(incarnation.clone());
            Ok(incarnation.get_cell())
        }
    });
    spec.on_retire(move || closed.close())
}

/// A counter: its value survives, its handles' outboxes follow it, and the aggregator knows where it is.
pub(crate) fn counter<A>(
    name: CounterName,
    actor: A,
    outbox: Outbox<Delta, CounterMessage>,
    aggregator: AggregatorHandle,
) -> ChildSpec
where
    A: Actor<Msg = CounterMessage, Arguments = CounterArguments> + Clone,
{
    let (home, closed) = (Home::new(CounterLife::from(Counter::new(0, 0))), outbox.clone());
    // Escaped, names are still unique.
    let id = format!("counter {}", name.as_bytes().escape_ascii());
    let spec = ChildSpec::new(id, move |supervisor| {
        let (home, name, actor) = (home.clone(), name.clone(), actor.clone());
        let (outbox, aggregator) = (outbox.clone(), aggregator.clone());
        async move {
            let arguments = CounterArguments { name: name.clone(), life: home.lease().await };
            let (incarnation, _task) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
            // First, so that whoever has an answer from the counter finds it at the aggregator as well.
            aggregator.register(name, incarnation.clone()).await?;
            outbox.redirect(incarnation.clone());
            Ok(incarnation.get_cell())
        }
    });
    spec.on_retire(move || closed.close())
}
