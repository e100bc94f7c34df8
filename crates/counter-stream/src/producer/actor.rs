//! The actor that sends records.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
use ractor_outbox::Parcel;
use ractor_supervision::Lease;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio::sync::watch;
use tokio::time::sleep;

use super::folded::Folded;
use super::outgoing::{Outbound, Outgoing};
use super::{Produced, ProducerOptions};

/// Time before records are sent again.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) enum ProducerMessage {
    Increments(Parcel<Folded>),
    /// Sends what an earlier incarnation had in hand.
    Resume,
    Flush(RpcReplyPort<()>),
}

impl Message for ProducerMessage {}

impl From<Parcel<Folded>> for ProducerMessage {
    fn from(parcel: Parcel<Folded>) -> Self {
        Self::Increments(parcel)
    }
}

/// State that the actor's successor continues with.
pub(super) struct ProducerState {
    options: ProducerOptions,
    outgoing: Outgoing,
    /// Client, while there is no reason for a new one.
    client: Option<FutureProducer>,
    reports: watch::Sender<Produced>,
}

pub(super) struct ProducerActor;

impl Actor for ProducerActor {
    type Msg = ProducerMessage;
    type State = Lease<ProducerState>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        state: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.cast(ProducerMessage::Resume)?;
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProducerMessage::Increments(parcel) => {
                let Some(mut batch) = parcel.open() else { return Ok(()) };
                state.outgoing.extend(batch.take());
                drop(batch);
                state.transmit().await;
            }
            ProducerMessage::Resume => state.transmit().await,
            ProducerMessage::Flush(reply) => {
                state.transmit().await;
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

impl ProducerState {
    pub(super) fn new(
        options: ProducerOptions,
        outgoing: Outgoing,
        reports: watch::Sender<Produced>,
    ) -> Self {
        Self { options, outgoing, client: None, reports }
    }

    /// Sends what is pending until all of it is acknowledged, or refused for good.
    async fn transmit(&mut self) {
        while !self.outgoing.pending().is_empty() && self.reports.borrow().refusal.is_none() {
            let Err(error) = self.attempt().await else { continue };
            if is_final(&error) {
                self.reports.send_modify(|produced| produced.refusal = Some(error.to_string()));
                return;
            }
            tracing::warn!(%error, records = self.outgoing.pending().len(), "sending records again");
            // A client that has lost its session with the brokers stays without. Its successor sends everything that is
            // not acknowledged, in order: whoever counts drops what has arrived.
            self.client = None;
            sleep(RETRY).await;
        }
    }

    async fn attempt(&mut self) -> Result<(), KafkaError> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(client(&self.options)?).clone(),
        };
        let mut failure = None;
        let mut deliveries = Vec::new();
        for record in self.outgoing.pending() {
            match send(&client, &self.options.topic, record) {
                Ok(delivery) => deliveries.push(delivery),
                // The rest is sent when these have arrived.
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) if !deliveries.is_empty() => {
                    break;
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let mut offsets = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            offsets.push(match delivery.await {
                Ok(Ok(delivery)) => u64::try_from(delivery.offset).ok(),
                Ok(Err((error, _))) => {
                    failure.get_or_insert(error);
                    None
                }
                Err(_) => {
                    failure.get_or_insert(KafkaError::Canceled);
                    None
                }
            });
        }
        self.acknowledge(&offsets);
        failure.map_or(Ok(()), Err)
    }

    fn acknowledge(&mut self, offsets: &[Option<u64>]) {
        let pending = self.outgoing.pending().iter().zip(offsets);
        let acknowledged = pending.filter(|(_, offset)| offset.is_some());
        let (mut records, mut operations) = (0, 0);
        for (record, _) in acknowledged {
            records += 1;
            operations += record.annotations.operations;
        }
        self.outgoing.acknowledge(offsets);
        self.reports.send_modify(|produced| {
            produced.records += records;
            produced.operations += operations;
            produced.ends = self.outgoing.ends().collect();
        });
    }
}

/// Creates a client that delivers records of a partition in order, without gaps, until it fails as a whole.
fn client(options: &ProducerOptions) -> Result<FutureProducer, KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "counter-stream")
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        // One request at a time: were a later one accepted and an earlier one not, the earlier records would seem to be
        // repetitions when they come again.
        .set("max.in.flight.requests.per.connection", "1")
        // Brokers that cannot be reached are waited for.
        .set("message.timeout.ms", "0")
        .set("linger.ms", "1");
    for (name, value) in &options.settings {
        config.set(name, value);
    }
    config.create()
}

fn send(client: &FutureProducer, topic: &str, record: &Outbound) -> Result<DeliveryFuture, KafkaError> {
    let (partition, amount) =
        (i32::try_from(record.partition).unwrap_or(i32::MAX), record.amount.to_string());
    let mut headers = OwnedHeaders::new();
    for (key, value) in record.annotations.headers() {
        headers = headers.insert(Header { key, value: Some(&value) });
    }
    let record =
        FutureRecord::to(topic).partition(partition).key(&*record.name).payload(&amount).headers(headers);
    client.send_result(record).map_err(|(error, _)| error)
}

/// Returns whether an error would come again.
fn is_final(error: &KafkaError) -> bool {
    matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
            )
        )
}
