//! A thousand crashes under load, and a bounded queue into the actor that crashes: each message arrives exactly once
//! and in order, and each question is answered. Crashes come at any point of a batch, between two of its messages and
//! while one is awaited; senders drop their outboxes meanwhile. The seed of the crashes is printed; `FAULT_SEED`
//! draws the same again.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::{Fifo, Outbox, Parcel};
use ractor_supervision::{Backoff, Intensity, Lease, Options, SupervisedActor, SupervisorHandle};
use tokio::time::timeout;

/// Deadline of an answer, far more than any takes.
const DEADLINE: Duration = Duration::from_secs(60);
const CRASHES: u64 = 1_000;
const PRODUCERS: usize = 4;
const ASKERS: usize = 2;
/// Producer whose messages come in any order.
const SCATTERER: usize = PRODUCERS;
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// A producer and the number of its message.
type Numbered = (usize, u64);

enum Delivery {
    Parcel(Parcel<Fifo<Numbered>>),
    Ask(RpcReplyPort<()>),
}

impl Message for Delivery {}
impl From<Parcel<Fifo<Numbered>>> for Delivery {
    fn from(parcel: Parcel<Fifo<Numbered>>) -> Self {
        Self::Parcel(parcel)
    }
}

/// Messages that have arrived: the next number expected of each producer, and every message with another number.
#[derive(Debug, Default)]
struct Arrived {
    next: [u64; PRODUCERS],
    wrong: Vec<Numbered>,
    /// Number of arrivals of each scattered message.
    scattered: HashMap<u64, u32>,
}

/// Actor that takes messages, and crashes in the middle of a batch when its fuse has burnt down.
#[derive(Clone)]
struct Receiver {
    fuse: Arc<AtomicU64>,
}

impl Actor for Receiver {
    type Msg = Delivery;
    type State = Lease<Arrived>;
    type Arguments = Lease<Arrived>;

    async fn pre_start(
        &self,
        _: ActorRef<Delivery>,
        arrived: Lease<Arrived>,
    ) -> Result<Lease<Arrived>, ActorProcessingErr> {
        Ok(arrived)
    }

    async fn handle(
        &self,
        _: ActorRef<Delivery>,
        message: Delivery,
        arrived: &mut Lease<Arrived>,
    ) -> Result<(), ActorProcessingErr> {
        let parcel = match message {
            Delivery::Parcel(parcel) => parcel,
            Delivery::Ask(reply) => {
                let _ = reply.send(());
                return Ok(());
            }
        };
        let Some(mut opened) = parcel.open() else { return Ok(()) };
        while let Some((producer, number)) = opened.pop() {
            if producer == SCATTERER {
                *arrived.scattered.entry(number).or_default() += 1;
            } else if number == arrived.next[producer] {
                arrived.next[producer] += 1;
            } else {
                arrived.wrong.push((producer, number));
            }
            match self.fuse.fetch_sub(1, Ordering::Relaxed) {
                1 => return Err("injected".into()),
                2 if number % 2 == 0 => resume_unwind(Box::new("injected")),
                _ => {}
            }
            if number % 64 == 0 {
                // A kill takes effect here, with the rest of the batch in hand.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

async fn produce(producer: usize, outbox: Outbox<Fifo<Numbered>, Delivery>, calm: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    while !calm.load(Ordering::Relaxed) {
        outbox.send((producer, number)).await.expect("it is restarted");
        number += 1;
    }
    number
}

/// Sends each message through an outbox of its own, which it drops at once. Returns the number of messages.
async fn scatter(outbox: Outbox<Fifo<Numbered>, Delivery>, calm: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    while !calm.load(Ordering::Relaxed) {
        outbox.clone().try_send((SCATTERER, number)).expect("it is empty and will be delivered");
        number += 1;
        if number % 64 == 0 {
            // Each outbox is empty, so nothing else bounds the number of messages in flight.
            outbox.call(Delivery::Ask).await.expect("it is restarted");
        }
    }
    number
}

/// Asks until the crashes are over. Returns the number of answers.
async fn ask(outbox: Outbox<Fifo<Numbered>, Delivery>, calm: Arc<AtomicBool>) -> u64 {
    let mut answers = 0;
    while !calm.load(Ordering::Relaxed) {
        outbox.call(Delivery::Ask).await.expect("it is restarted");
        answers += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_arrives_exactly_once_and_in_order_through_a_thousand_crashes() {
    let seed = ractor_faults::seed();
    let mut random = Rng::with_seed(seed);
    let receiver = Receiver { fuse: Arc::new(AtomicU64::new(u64::MAX)) };
    let actor = receiver.clone();
    let supervised =
        SupervisedActor::new("receiver", move || actor.clone(), Arrived::default(), Fifo::bounded(CAPACITY));
    let (outbox, slot) = (supervised.outbox(), supervised.state());
    let intensity = Intensity { restarts: usize::MAX, within: Duration::from_secs(1) };
    let backoff = Backoff { first: Duration::ZERO, max: Duration::ZERO };
    let options = Options { intensity, backoff, ..Options::default() };
    let supervisor = SupervisorHandle::start(options, vec![supervised.into()]).await.unwrap();

    let calm = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> =
        (0..PRODUCERS).map(|n| tokio::spawn(produce(n, outbox.clone(), Arc::clone(&calm)))).collect();
    let scattering = tokio::spawn(scatter(outbox.clone(), Arc::clone(&calm)));
    let askers: Vec<_> = (0..ASKERS).map(|_| tokio::spawn(ask(outbox.clone(), Arc::clone(&calm)))).collect();
    let mut incarnation = outbox.actor().unwrap();
    for _ in 0..CRASHES {
        if random.u8(0..3) == 0 {
            incarnation.kill();
        } else {
            receiver.fuse.store(random.u64(1..1_000), Ordering::Relaxed);
        }
        while outbox.actor().unwrap().get_id() == incarnation.get_id() {
            tokio::task::yield_now().await;
        }
        incarnation = outbox.actor().unwrap();
    }
    calm.store(true, Ordering::Relaxed);
    let mut sent = [0; PRODUCERS];
    for (sent, producer) in sent.iter_mut().zip(producers) {
        *sent = producer.await.unwrap();
    }
    let scattered = scattering.await.unwrap();
    for asker in askers {
        assert!(timeout(DEADLINE, asker).await.expect("each question is answered").unwrap() > 0);
    }
    assert!(supervisor.children().await.unwrap()[0].restarts >= CRASHES);
    supervisor.shutdown().await;
    let arrived = slot.lease().await;
    assert_eq!((arrived.next, &arrived.wrong[..]), (sent, &[][..]), "FAULT_SEED={seed}");
    assert_eq!(arrived.scattered.len() as u64, scattered, "FAULT_SEED={seed}");
    assert!(arrived.scattered.values().all(|&times| times == 1), "FAULT_SEED={seed}");
    assert!(sent.iter().sum::<u64>() > 10 * CRASHES, "there was a load: {sent:?}");
}
