use aggregator_actor::AggregatorHandle;
use counter_actor::CounterState;
use counter_protocol::{CounterMessage, Delta};
use ractor::Actor;
use ractor_supervision::{Lease, SupervisedActor};

/// Returns a counter for the supervisor to start. Each incarnation registers with the aggregator.
pub(crate) fn counter<A>(
    state: CounterState,
    actor: A,
    aggregator: AggregatorHandle,
) -> SupervisedActor<A, CounterState, Delta>
where
    A: Actor<Msg = CounterMessage, Arguments = Lease<CounterState>> + Clone,
{
    let name = state.name().clone();
    // Escaping keeps different names different.
    let id = format!("counter {}", name.as_bytes().escape_ascii());
    SupervisedActor::new(id, move || actor.clone(), state, Delta::default()).on_start(move |incarnation| {
        let (aggregator, name) = (aggregator.clone(), name.clone());
        // Registers before the outboxes are redirected: a caller that has an answer from the counter finds it at the
        // aggregator as well.
        async move { Ok(aggregator.register(name, incarnation).await?) }
    })
}
