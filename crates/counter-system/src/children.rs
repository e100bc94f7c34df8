use aggregator_actor::AggregatorHandle;
use counter_actor::CounterState;
use counter_protocol::{CounterMessage, Delta};
use ractor::Actor;
use ractor_supervision::{Lease, SupervisedActor};

/// Returns a counter for the supervisor to start. The aggregator knows each incarnation.
pub(crate) fn counter<A>(
    state: CounterState,
    actor: A,
    aggregator: AggregatorHandle,
) -> SupervisedActor<A, CounterState, Delta>
where
    A: Actor<Msg = CounterMessage, Arguments = Lease<CounterState>> + Clone,
{
    let name = state.name().clone();
    // Escaped, names are still unique.
    let id = format!("counter {}", name.as_bytes().escape_ascii());
    SupervisedActor::new(id, move || actor.clone(), state, Delta::default()).on_start(move |incarnation| {
        let (aggregator, name) = (aggregator.clone(), name.clone());
        // Before the outboxes follow, so that whoever has an answer from the counter finds it at the aggregator as well.
        async move { Ok(aggregator.register(name, incarnation).await?) }
    })
}
