//! The network between nodes.

mod under_way;

use std::sync::Arc;
use std::time::Duration;

use counter_cluster::{Connection, ConnectionId, Inbox, Network};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use ractor_transport::NodeName;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::coverage::Kind;
use crate::message::Message;
use crate::random::{chance, generator};
use crate::world::{Life, World};
use under_way::{OnItsWay, UnderWay};

/// Maximum delay of a message while nothing goes wrong, in milliseconds.
const DELAY_MS: u64 = 3;

/// Network as one life of a node sees it.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedNetwork {
    pub(crate) world: World,
    pub(crate) life: Life,
}

/// Connection of one node to the endpoint of another.
#[derive(Clone, Debug)]
struct SimulatedConnection {
    world: World,
    from: Life,
    to: usize,
    name: NodeName,
    endpoint: u64,
    epoch: u64,
}

/// Fate of a message.
struct Fate {
    number: u64,
    delay: Duration,
    /// Time after which the sender knows that it is lost.
    lost: Option<Duration>,
    duplicate: Option<Duration>,
    /// Dropped when it has arrived or is lost.
    _on_its_way: OnItsWay,
}

struct Endpoint(SimulatedNetwork);

/// Takes an endpoint from the network when it is dropped.
struct Registration {
    network: SimulatedNetwork,
    number: u64,
}

impl Actor for Endpoint {
    type Msg = ();
    type State = Registration;
    type Arguments = Inbox;

    async fn pre_start(
        &self,
        _myself: ActorRef<()>,
        inbox: Inbox,
    ) -> Result<Registration, ActorProcessingErr> {
        let SimulatedNetwork { world, life } = &self.0;
        let number = {
            let mut state = world.lock();
            let number = state.number();
            if state.lives(*life) {
                state.nodes[life.node].endpoint = Some((number, inbox));
            }
            number
        };
        world.connections_changed();
        Ok(Registration { network: self.0.clone(), number })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let SimulatedNetwork { world, life } = &self.network;
        {
            let mut state = world.lock();
            let is_alive = state.lives(*life);
            let endpoint = &mut state.nodes[life.node].endpoint;
            if !is_alive || endpoint.as_ref().is_none_or(|(number, _)| *number != self.number) {
                return;
            }
            *endpoint = None;
        }
        world.connections_changed();
    }
}

impl Network for SimulatedNetwork {
    fn start_endpoint(
        &self,
        inbox: Inbox,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        let endpoint = Endpoint(self.clone());
        async move { Ok(Actor::spawn_linked(None, endpoint, inbox, supervisor).await?.0.get_cell()) }.boxed()
    }

    fn connections(&self) -> Vec<Arc<dyn Connection>> {
        let state = self.world.lock();
        let me = self.life.node;
        // A node is connected only once its recovered state has been checked. Its own endpoint is the way in, not the
        // way out, and may be away.
        if !state.lives(self.life) || state.nodes[me].serving.is_none() {
            return Vec::new();
        }
        let mut connections: Vec<Arc<dyn Connection>> = Vec::new();
        for to in (0..state.nodes.len()).filter(|to| *to != me) {
            let Some(epoch) = state.links.epoch(me, to) else { continue };
            let node = &state.nodes[to];
            if node.serving.is_none() {
                continue;
            }
            let Some((endpoint, _)) = &node.endpoint else { continue };
            connections.push(Arc::new(SimulatedConnection {
                world: self.world.clone(),
                from: self.life,
                to,
                name: node.name.clone(),
                endpoint: *endpoint,
                epoch,
            }));
        }
        connections
    }
}

impl Connection for SimulatedConnection {
    fn id(&self) -> ConnectionId {
        ConnectionId(self.epoch, self.endpoint)
    }

    fn node(&self) -> Option<NodeName> {
        Some(self.name.clone())
    }

    fn ask(&self, request: Vec<u8>, deadline: Duration) -> BoxFuture<'static, Option<Vec<u8>>> {
        let connection = self.clone();
        async move { timeout(deadline, connection.ask(request)).await.ok()? }.boxed()
    }
}

impl SimulatedConnection {
    async fn ask(self, request: Vec<u8>) -> Option<Vec<u8>> {
        let request = Arc::new(Message::request(request));
        let _under_way = UnderWay::begin(&self, &request);
        self.world.thawed(self.from.node).await;
        if !self.world.operates(self.from) {
            return std::future::pending().await;
        }
        let fate = self.sent(&request);
        let (reply, answer) = oneshot::channel();
        if let Some(delay) = fate.duplicate {
            let on_its_way = OnItsWay::begin(&self.world, self.from);
            let fate =
                Fate { number: fate.number, delay, lost: None, duplicate: None, _on_its_way: on_its_way };
            tokio::spawn(self.clone().carry(Arc::clone(&request), fate, None));
        }
        tokio::spawn(self.carry(request, fate, Some(reply)));
        answer.await.ok()
    }

    /// Notes a request, and decides about it.
    fn sent(&self, request: &Message) -> Fate {
        let fate = self.fate(self.from, self.to, request.is_large());
        let (from, to, number) = (self.from.node, self.to, fate.number);
        self.world.note(format_args!("n{from}>n{to} m{number} {request}"));
        self.world.see(&request.entries(None, None));
        fate
    }

    fn fate(&self, sender: Life, to: usize, is_large: bool) -> Fate {
        let on_its_way = OnItsWay::begin(&self.world, sender);
        let from = sender.node;
        let mut state = self.world.lock();
        let number = state.number();
        let mut rng = generator(state.seed, "message", &[from as u64, to as u64, number]);
        let weather = state.links.weather(from, to);
        let delay_ms = rng.u64(1..=DELAY_MS) + rng.u64(0..=weather.delay_ms);
        if weather.delay_ms > 0 {
            state.coverage.fired(Kind::Delay);
        }
        // Mostly the connection's end is noticed soon, and sometimes never.
        let notice_ms = if chance(&mut rng, 80) { rng.u64(0..=200) } else { 60_000 };
        let is_lost = chance(&mut rng, weather.loss);
        let duplicate =
            chance(&mut rng, weather.duplicates).then(|| rng.u64(1..=2 * (DELAY_MS + weather.delay_ms)));
        // A large message takes longer.
        let delay = Duration::from_millis(delay_ms + u64::from(is_large));
        let lost = is_lost.then(|| Duration::from_millis(notice_ms));
        let duplicate = duplicate.map(Duration::from_millis);
        Fate { number, delay, lost, duplicate, _on_its_way: on_its_way }
    }

    /// Carries a request to the other node, and its reply back.
    async fn carry(self, request: Arc<Message>, fate: Fate, asker: Option<oneshot::Sender<Vec<u8>>>) {
        let number = fate.number;
        let (life, answer) = match self.deliver(&request, fate, asker.is_none()).await {
            Ok(delivered) => delivered,
            Err(notice) => return self.notice(notice, asker).await,
        };
        let answer = tokio::select! {
            biased;
            answer = answer => answer.ok(),
            () = self.world.ended(life) => None,
        };
        let Some(answer) = answer else {
            self.world.note(format_args!("n{}>n{} m{number} is not answered", self.to, self.from.node));
            return self.notice(Duration::ZERO, asker).await;
        };
        self.answer(&request, number, Message::reply(answer), life, asker).await;
    }

    /// Carries a request to the other node, and returns how the answer comes, or the time after which the sender knows
    /// that the request is lost.
    async fn deliver(
        &self,
        request: &Message,
        fate: Fate,
        is_duplicate: bool,
    ) -> Result<(Life, oneshot::Receiver<Vec<u8>>), Duration> {
        sleep(fate.delay).await;
        self.world.thawed(self.to).await;
        if let Some(notice) = self.loss(self.from.node, self.to, &fate, Kind::RequestLost) {
            return Err(notice);
        }
        let (life, inbox) = self.arrived(fate.number, is_duplicate).ok_or(Duration::ZERO)?;
        self.world.receive(self.to, &request.entries(None, None));
        let (port, answer) = oneshot::channel();
        let sender = self.world.lock().nodes[self.from.node].name.clone();
        inbox.deliver(sender, request.bytes(), port.into()).map_err(|_| Duration::ZERO)?;
        Ok((life, answer))
    }

    /// Carries a reply back.
    async fn answer(
        self,
        request: &Message,
        number: u64,
        reply: Message,
        life: Life,
        asker: Option<oneshot::Sender<Vec<u8>>>,
    ) {
        self.world.thawed(self.to).await;
        if !self.world.operates(life) {
            return;
        }
        let (from, to) = (self.to, self.from.node);
        let fate = self.fate(life, to, reply.is_large());
        self.world.note(format_args!("n{from}>n{to} r{number} {reply}"));
        let replica = self.world.lock().nodes[from].serving.as_ref().map(|(_, replica)| replica.clone());
        let entries = reply.entries(Some(request), replica.as_ref());
        self.world.see(&entries);
        sleep(fate.delay).await;
        self.world.thawed(to).await;
        if let Some(notice) = self.loss(from, to, &fate, Kind::ReplyLost) {
            drop(fate);
            return self.notice(notice, asker).await;
        }
        if let Some(asker) = asker.filter(|_| self.world.operates(self.from)) {
            self.world.receive(to, &entries);
            self.world.note(format_args!("n{to} has r{number}"));
            let _ = asker.send(reply.into_bytes());
        }
    }

    /// Returns the time after which a sender knows that its message is lost, if it is.
    fn loss(&self, from: usize, to: usize, fate: &Fate, kind: Kind) -> Option<Duration> {
        let mut state = self.world.lock();
        let lost = fate.lost.map(|notice| (kind, notice));
        let cut = state.links.cut(from, to).map(|kind| (kind, Duration::from_secs(60)));
        let (kind, notice) = lost.or(cut)?;
        state.coverage.fired(kind);
        state.note(format_args!("n{from}>n{to} m{} is lost", fate.number));
        Some(notice)
    }

    /// Lets the asker know that there is no answer.
    async fn notice(&self, after: Duration, asker: Option<oneshot::Sender<Vec<u8>>>) {
        if let Some(mut asker) = asker {
            // It does not wait for longer than its deadline.
            let _ = timeout(after, asker.closed()).await;
        }
    }

    /// Returns the inbox of the node at the other end, if it is there.
    fn arrived(&self, number: u64, is_duplicate: bool) -> Option<(Life, Inbox)> {
        let life = Life { node: self.to, number: self.world.lock().nodes[self.to].lives };
        if !self.world.operates(life) {
            return None;
        }
        let mut state = self.world.lock();
        let (endpoint, inbox) = state.nodes[self.to].endpoint.clone()?;
        let is_connected = state.links.epoch(self.from.node, self.to) == Some(self.epoch);
        if endpoint != self.endpoint || !is_connected {
            return None;
        }
        if is_duplicate {
            state.coverage.fired(Kind::Duplicate);
        } else if state.links.arrives(self.from.node, self.to, number) {
            state.coverage.fired(Kind::Reordered);
        }
        state.note(format_args!("n{} has m{number}", self.to));
        Some((life, inbox))
    }
}
