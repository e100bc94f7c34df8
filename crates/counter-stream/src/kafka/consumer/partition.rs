//! A partition that is read: from its queue at librdkafka, through the mapping, to its node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::context::Context;
use super::status::{PartitionStatus, Stage};
use crate::kafka::identity::TopicIdentity;
use crate::kafka::letters::{Letter, LetterError, Letters};
use crate::kafka::owner::{Destination, Refused};
use crate::mapping::{Annotations, Mapping, RawRecord, Uncountable};
use crate::record::{Content, Record};

/// Maximum number of records that are read before other partitions have their turn.
const TURN: usize = 1_024;
/// Maximum number of records that wait for room or for the acknowledgement of a dead letter.
const WAITING: usize = 1_024;

/// State that all partitions of a topic share.
pub(super) struct Shared {
    pub(super) identity: TopicIdentity,
    pub(super) mapping: Mapping,
    pub(super) letters: Option<Letters>,
    pub(super) runtime: Handle,
    /// Wakes the polling thread.
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

/// Partition that is read.
pub(super) struct Partition<P> {
    queue: PartitionQueue<Context>,
    pub(super) destination: P,
    /// Records that were read and not handed over, in order.
    waiting: VecDeque<Waiting<'static>>,
    pub(super) reader: Reader,
    /// End of the log, if a broker has said so.
    pub(super) end: Option<u64>,
}

/// Reads a partition's records.
pub(super) struct Reader {
    number: i32,
    next: u64,
    /// Epoch of the leader, if a broker has said so.
    pub(super) epoch: Option<u32>,
    records: u64,
    skipped: u64,
}

struct Waiting<'a> {
    record: Record<'a>,
    /// Its dead letter, until that is acknowledged.
    letter: Option<oneshot::Receiver<Result<(), LetterError>>>,
}

/// Outcome of a turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing to read.
    Idle,
    /// There may be more to read at once.
    Busy,
    /// A record waits for room or for an acknowledgement.
    Blocked,
    /// The log is not what it was: look at it again.
    Diverged,
    /// The partition cannot go on.
    Failed(String),
}

impl<P: Destination> Partition<P> {
    pub(super) fn new(
        number: i32,
        mut queue: PartitionQueue<Context>,
        destination: P,
        (offset, epoch): (u64, Option<u32>),
        shared: &Shared,
    ) -> Self {
        let wake = shared.wake.clone();
        queue.set_nonempty_callback(move || wake());
        let reader = Reader { number, next: offset, epoch, records: 0, skipped: 0 };
        Self { queue, destination, waiting: VecDeque::new(), reader, end: None }
    }

    /// Reads and hands over what there is, for a turn.
    pub(super) fn advance(&mut self, shared: &Shared) -> Turn {
        for _ in 0..TURN {
            match self.hand_over() {
                Ok(()) => {}
                Err(blocked) => return blocked,
            }
            match self.queue.poll(Duration::ZERO) {
                None => return Turn::Idle,
                Some(Ok(message)) => {
                    let Some(Waiting { record, letter }) = self.reader.read(&message, shared) else {
                        continue;
                    };
                    let record = match letter {
                        // Most records go from librdkafka's memory straight into the outbox.
                        None if self.waiting.is_empty() => match self.destination.try_send(record) {
                            Ok(()) => continue,
                            Err(Refused::Full(record)) => record,
                            Err(Refused::Closed(reason)) => return Turn::Failed(reason),
                        },
                        None | Some(_) => record,
                    };
                    self.waiting.push_back(Waiting { record: record.into_owned(), letter });
                }
                Some(Err(error)) => match diverged(&error) {
                    true => return Turn::Diverged,
                    false => tracing::warn!(partition = self.reader.number, %error, "librdkafka tries again"),
                },
            }
        }
        Turn::Busy
    }

    /// Hands over what waits, as far as possible. Returns why nothing more is to be read, if so.
    fn hand_over(&mut self) -> Result<(), Turn> {
        while let Some(Waiting { record, letter }) = self.waiting.pop_front() {
            match letter.map(|mut letter| letter.try_recv().map_err(|error| (error, letter))) {
                None | Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Err(Turn::Failed(error.to_string())),
                Some(Err((TryRecvError::Empty, letter))) => {
                    self.waiting.push_front(Waiting { record, letter: Some(letter) });
                    // Further ones can be read and sent meanwhile.
                    return if self.waiting.len() < WAITING { Ok(()) } else { Err(Turn::Blocked) };
                }
                Some(Err((TryRecvError::Closed, _))) => {
                    return Err(Turn::Failed("dead letter was given up".into()));
                }
            }
            match self.destination.try_send(record) {
                Ok(()) => {}
                Err(Refused::Full(record)) => {
                    self.waiting.push_front(Waiting { record, letter: None });
                    return Err(Turn::Blocked);
                }
                Err(Refused::Closed(reason)) => return Err(Turn::Failed(reason)),
            }
        }
        Ok(())
    }

    pub(super) fn status(&self) -> PartitionStatus {
        PartitionStatus {
            stage: Stage::Running,
            offset: self.reader.next,
            committed: self.destination.committed().borrow().offset,
            end: self.end,
            records: self.reader.records,
            skipped: self.reader.skipped,
        }
    }
}

impl Reader {
    fn read<'a>(&mut self, message: &'a BorrowedMessage<'_>, shared: &Shared) -> Option<Waiting<'a>> {
        let offset = u64::try_from(message.offset()).ok().filter(|offset| *offset >= self.next)?;
        self.next = offset + 1;
        self.records += 1;
        let (content, letter) = match content(message, &shared.mapping) {
            Ok(content) => (content, None),
            Err(reason) => {
                self.skipped += 1;
                let letter = self.reject(message, offset, &reason, shared);
                (Content::Skipped, letter)
            }
        };
        Some(Waiting { record: Record { offset, leader_epoch: self.epoch, content }, letter })
    }

    fn reject(
        &self,
        message: &BorrowedMessage<'_>,
        offset: u64,
        reason: &Uncountable,
        shared: &Shared,
    ) -> Option<oneshot::Receiver<Result<(), LetterError>>> {
        tracing::debug!(partition = self.number, offset, %reason, "record cannot be counted");
        let letters = shared.letters.clone()?;
        let letter = Letter {
            topic_id: shared.identity.topic_id,
            topic: shared.identity.topic.clone(),
            partition: self.number,
            offset,
            reason: reason.to_string(),
            key: message.key().map(Into::into),
            value: message.payload().map(Into::into),
        };
        let (acknowledge, acknowledged) = oneshot::channel();
        let wake = shared.wake.clone();
        shared.runtime.spawn(async move {
            let _ = acknowledge.send(letters.send(letter).await);
            wake();
        });
        Some(acknowledged)
    }
}

fn content<'a>(message: &'a BorrowedMessage<'_>, mapping: &Mapping) -> Result<Content<'a>, Uncountable> {
    let annotations = match message.headers() {
        None => Annotations::default(),
        Some(headers) => Annotations::read(headers.iter().map(|header| (header.key, header.value)))?,
    };
    mapping.content(RawRecord { key: message.key(), value: message.payload() }, annotations)
}

/// Returns whether librdkafka has found that the log does not have the next offset.
fn diverged(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation
                | RDKafkaErrorCode::UnknownTopicId
        )
    )
}
