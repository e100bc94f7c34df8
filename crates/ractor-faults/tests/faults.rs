//! Each fault happens once, where it was injected.

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus};
use ractor_faults::{Fault, Faults, Faulty};
use tokio::sync::mpsc;

/// Capacity for events, more than any test reports.
const EVENTS: usize = 64;

/// Reports each step of a message, which is a number of steps, and its end.
#[derive(Clone)]
struct Steps(mpsc::Sender<&'static str>);

impl Actor for Steps {
    type Msg = u64;
    type State = mpsc::Sender<&'static str>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(self.0.clone())
    }

    async fn handle(
        &self,
        _: ActorRef<u64>,
        steps: u64,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        (0..steps).try_for_each(|_| state.try_send("step"))?;
        Ok(state.try_send("end")?)
    }
}

/// Messages without steps have no parts.
fn part(message: u64, steps: usize, state: &mut mpsc::Sender<&'static str>) -> Result<Rest, u64> {
    if message == 0 {
        return Err(message);
    }
    (0..message).take(steps).for_each(|_| _ = state.try_send("step"));
    Ok(Rest(state.clone()))
}

struct Rest(mpsc::Sender<&'static str>);

impl Drop for Rest {
    fn drop(&mut self) {
        let _ = self.0.try_send("rest dropped");
    }
}

async fn happens(fault: Fault, messages: &[u64]) -> Vec<&'static str> {
    let ((sender, mut events), faults) = (mpsc::channel(EVENTS), Faults::default());
    let faulty = Faulty::in_parts(Steps(sender), &faults, part);
    let (actor, task) = Actor::spawn(None, faulty, ()).await.expect("it starts");
    assert_eq!(faults.starts(), 1);
    faults.inject(fault);
    messages.iter().for_each(|&steps| actor.cast(steps).expect("it runs"));
    faults.happened().await;
    task.await.expect("it has ended");
    assert_eq!(actor.get_status(), ActorStatus::Stopped);
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

#[tokio::test]
async fn before_a_message_nothing_of_it_is_handled() {
    for fault in [Fault::PanicBefore, Fault::ErrorBefore] {
        assert!(happens(fault, &[1, 1]).await.is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn after_a_message_all_of_it_is_handled_and_nothing_more() {
    for fault in [Fault::PanicAfter, Fault::ErrorAfter] {
        assert_eq!(happens(fault, &[1, 1]).await, ["step", "end"], "{fault:?}");
    }
}

#[tokio::test]
async fn within_a_message_a_part_is_handled_and_the_rest_is_dropped() {
    for fault in [Fault::PanicWithin(2), Fault::KilledWithin(2)] {
        assert_eq!(happens(fault, &[3, 3]).await, ["step", "step", "rest dropped"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_message_without_parts_leaves_a_fault_within_to_the_next() {
    assert_eq!(happens(Fault::PanicWithin(1), &[0, 2]).await, ["end", "step", "rest dropped"]);
}

#[tokio::test]
async fn a_fault_of_one_actor_happens_to_no_other_and_can_be_withdrawn() {
    let ((sender, mut events), faults) = (mpsc::channel(EVENTS), Faults::default());
    let faulty = Faulty::new(Steps(sender), &faults);
    let (one, _task) = Actor::spawn(None, faulty.clone(), ()).await.unwrap();
    let (other, _task) = Actor::spawn(None, faulty, ()).await.unwrap();
    faults.inject_into(one.get_id(), Fault::ErrorBefore);
    other.cast(0).unwrap();
    assert_eq!(events.recv().await, Some("end"));
    one.cast(0).unwrap();
    one.wait(None).await.unwrap();
    faults.inject(Fault::PanicBefore);
    faults.clear();
    other.cast(0).unwrap();
    assert_eq!(events.recv().await, Some("end"));
}
