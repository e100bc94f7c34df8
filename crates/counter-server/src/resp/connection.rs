//! One connection of a RESP client: reads requests, carries out what they come to, and writes replies.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counter_keyspace::Outcome;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::{Action, Client, Moment, Plan, Step};
use super::clients::{Clients, Registered};
use super::decode::Decoder;
use super::encode::{self, Reply};
use super::errors;
use crate::auth::Login;
use crate::counters::{Counters, CountersError, Durability};
use crate::listener::Stream;
use crate::service::{Service, ServiceState};
use crate::telemetry::{FrontEnd, Protocol};

/// Number of bytes that are read at once, at least. A client that sends more is read in larger pieces.
const MIN_READ_BYTES: usize = 1024;

/// Number of bytes that are read at once, at most.
const MAX_READ_BYTES: usize = 64 * 1024;

/// Size of replies at which they are written, also if more commands are to be carried out.
const WRITE_AT_BYTES: usize = 64 * 1024;

/// Capacity of buffers that a connection keeps.
const KEPT_BYTES: usize = 16 * 1024;

/// Connection of a client.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    service: Service,
    peer: SocketAddr,
    registered: Registered,
    client: Client,
    /// `None` until they are loaded.
    counters: Option<Counters>,
    decoder: Decoder,
    /// Input from the first request on that has not been decoded.
    input: Vec<u8>,
    read_bytes: usize,
    plan: Plan,
    output: Vec<u8>,
    requests: Counter,
    rejected: Counter,
}

impl Connection {
    pub(crate) fn new(stream: Stream, peer: SocketAddr, clients: &Clients, service: Service) -> Self {
        let registered = clients.register(peer);
        let label = FrontEnd { front_end: Protocol::Resp };
        let requests = service.telemetry().requests.get_or_create(&label).clone();
        let rejected = service.telemetry().rejected.get_or_create(&label).clone();
        Self {
            stream,
            peer,
            client: Client::new(registered.id(), Login::new(service.access().clone())),
            registered,
            counters: None,
            decoder: Decoder::new(service.limits().request_bytes),
            input: Vec::new(),
            read_bytes: MIN_READ_BYTES,
            plan: Plan::default(),
            output: Vec::new(),
            requests,
            rejected,
            service,
        }
    }

    /// Serves the client until it leaves or the server drains.
    pub(crate) async fn serve(mut self) {
        let peer = self.peer;
        if let Err(error) = self.answer_all().await {
            tracing::debug!(%peer, %error, "connection ended");
        }
        // So that a client with TLS knows that nothing is missing.
        let _ = timeout(self.service.limits().unread_timeout, self.stream.shutdown()).await;
    }

    async fn answer_all(&mut self) -> io::Result<()> {
        let service = self.service.clone();
        let (mut draining, mut is_draining) = (pin!(service.reached(ServiceState::Draining)), false);
        loop {
            self.input.reserve(self.read_bytes);
            let read = tokio::select! {
                read = self.stream.read_buf(&mut self.input) => read?,
                () = &mut draining, if !is_draining => {
                    // What has arrived is still answered.
                    self.stream.stop_input();
                    is_draining = true;
                    continue;
                }
            };
            if read == 0 {
                return Ok(());
            }
            self.adapt(read);
            while !self.input.is_empty() && self.plan_next() {
                self.carry_out().await?;
                if self.plan.ends {
                    return self.write().await;
                }
            }
            self.write().await?;
            self.give_back_memory();
        }
    }

    /// Reads in larger pieces from a client that sends much.
    const fn adapt(&mut self, read: usize) {
        if read >= self.read_bytes && self.read_bytes < MAX_READ_BYTES {
            self.read_bytes *= 2;
        } else if read < self.read_bytes / 4 && self.read_bytes > MIN_READ_BYTES {
            self.read_bytes /= 2;
        }
    }

    fn give_back_memory(&mut self) {
        if self.input.capacity() > KEPT_BYTES && self.input.len() < KEPT_BYTES {
            self.input.shrink_to(KEPT_BYTES);
        }
        self.output.shrink_to(KEPT_BYTES);
    }

    /// Plans the requests that have arrived, as many as are carried out together. Returns false if there are none.
    fn plan_next(&mut self) -> bool {
        if self.counters.is_none() {
            self.counters = self.service.counters().ok();
        }
        self.plan.clear();
        let moment = Moment {
            now_ms: now_ms(),
            is_loading: self.counters.is_none(),
            refusal: self.counters.as_ref().and_then(Counters::one_owner_refusal),
        };
        let (mut used, mut requests) = (0, 0);
        while requests < self.service.limits().pipeline && !self.plan.ends {
            match self.decoder.decode(&self.input[used..]) {
                Ok(Some(request)) => {
                    self.client.plan(&request, moment, &mut self.plan);
                    used += request.len_bytes();
                    requests += 1;
                }
                Ok(None) => break,
                Err(error) => self.plan.end_with(Reply::error(format!("ERR {error}"))),
            }
        }
        self.input.drain(..used);
        self.requests.inc_by(requests as u64);
        requests > 0 || self.plan.ends
    }

    /// Carries out the plan: all operations up to a query at once, then the query, and so on.
    async fn carry_out(&mut self) -> io::Result<()> {
        self.registered.update(self.client.identity(), self.client.version());
        let steps = std::mem::take(&mut self.plan.steps);
        let (mut rest, mut operations) = (&steps[..], 0);
        while !rest.is_empty() {
            let is_query = |step: &Step| matches!(step.action, Action::Query(_));
            let (run, behind) = rest.split_at(rest.iter().position(is_query).unwrap_or(rest.len()));
            let taken: usize = run.iter().map(Step::operations).sum();
            let outcomes = self.apply(run, operations..operations + taken).await;
            operations += taken;
            self.encode(run, &outcomes).await?;
            rest = match behind.split_first() {
                Some((step, behind)) => {
                    self.query(step).await?;
                    behind
                }
                None => behind,
            };
        }
        self.plan.steps = steps;
        Ok(())
    }

    /// Applies the operations of some steps. Those that nobody is told of need not be durable first,
    /// nor counted, if they go through a log.
    async fn apply(&self, run: &[Step], range: Range<usize>) -> Result<Vec<Outcome>, CountersError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let counters = self.counters.as_ref().ok_or(CountersError::Loading)?;
        let is_silent = run.iter().all(|step| step.is_silent || step.operations() == 0);
        let (durability, wait) = match is_silent {
            true => (Durability::Memory, Some(Duration::ZERO)),
            false => (counters.default_durability(), None),
        };
        Ok(counters.apply_within(self.plan.batch.range(range), durability, wait).await?.outcomes)
    }

    async fn encode(
        &mut self,
        run: &[Step],
        outcomes: &Result<Vec<Outcome>, CountersError>,
    ) -> io::Result<()> {
        let mut position = 0;
        for step in run {
            let from = position;
            position += step.operations();
            if step.is_silent {
                continue;
            }
            let start = self.output.len();
            let output = &mut self.output;
            match (&step.action, outcomes) {
                (Action::Counters(shape, _), Ok(outcomes)) => {
                    shape.encode(outcomes.get(from..position).unwrap_or_default(), step.version, output);
                }
                (Action::Counters(..), Err(error)) => errors::reply(error).encode(step.version, output),
                (Action::Reply(reply), _) => reply.encode(step.version, output),
                (Action::Array(len), _) => encode::array(*len, output),
                (Action::Clients { all }, _) => {
                    let text = if *all { self.registered.list() } else { self.registered.line() };
                    Reply::Text(text).encode(step.version, output);
                }
                // A run has none.
                (Action::Query(_), _) => {}
            }
            self.encoded(start).await?;
        }
        Ok(())
    }

    async fn query(&mut self, step: &Step) -> io::Result<()> {
        let Action::Query(query) = &step.action else { return Ok(()) };
        if query.waits() {
            // The replies before it go out first, because it may take long.
            self.write().await?;
        }
        let reply = match &self.counters {
            Some(counters) => query.answer(counters, &self.peer.ip().to_string()).await,
            None => query.answer_while_loading(),
        };
        if step.is_silent {
            return Ok(());
        }
        let start = self.output.len();
        reply.encode(step.version, &mut self.output);
        self.encoded(start).await
    }

    /// Notes that a reply has been encoded, and writes if there is much to write.
    async fn encoded(&mut self, start: usize) -> io::Result<()> {
        if self.output.get(start) == Some(&b'-') {
            self.rejected.inc();
        }
        if self.output.len() >= WRITE_AT_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let written = timeout(self.service.limits().unread_timeout, async {
            self.stream.write_all(&self.output).await?;
            // TLS may hold back what has been written.
            self.stream.flush().await
        })
        .await;
        self.output.clear();
        written.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "replies are not read")))
    }
}

impl Step {
    /// Returns the number of operations that the step applies.
    const fn operations(&self) -> usize {
        match self.action {
            Action::Counters(_, operations) => operations,
            _ => 0,
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
