//! The network's state, in each direction between two nodes, and what is under way.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Life;
use crate::coverage::Kind;
use crate::schedule::Weather;

/// A life of a node, and the endpoint and epoch of one of its connections.
pub(crate) type Link = (Life, u64, u64);

/// Networks from each node to each other one.
#[derive(Debug)]
pub(crate) struct Links {
    nodes: usize,
    links: Vec<LinkState>,
    /// Number of batches under way by each connection.
    batches: BTreeMap<Link, usize>,
    /// Number of messages of each life of a node that are on their way, if any are.
    messages: BTreeMap<Life, usize>,
}

/// Network from one node to another.
#[derive(Clone, Debug, Default)]
struct LinkState {
    weather: Weather,
    weather_until: Option<Instant>,
    cut_until: Option<(Instant, Kind)>,
    /// Connections made before a partition are over after it.
    epoch: u64,
    is_disconnected_until: Option<Instant>,
    latest_arrival: u64,
}

impl Links {
    pub(super) fn new(nodes: usize) -> Self {
        let links = vec![LinkState::default(); nodes * nodes];
        Self { nodes, links, batches: BTreeMap::new(), messages: BTreeMap::new() }
    }

    /// Changes the number of batches that are under way by a connection, and returns it.
    pub(crate) fn batches(&mut self, link: Link, by: isize) -> usize {
        let under_way = self.batches.entry(link).or_default();
        *under_way = under_way.saturating_add_signed(by);
        *under_way
    }

    /// Changes the number of messages of a life of a node that are on their way.
    pub(crate) fn messages(&mut self, of: Life, by: isize) {
        let on_their_way = self.messages.entry(of).or_default();
        *on_their_way = on_their_way.saturating_add_signed(by);
        if *on_their_way == 0 {
            self.messages.remove(&of);
        }
    }

    /// Notes the arrival of a message, and returns true if it has overtaken another one.
    pub(crate) fn arrives(&mut self, from: usize, to: usize, number: u64) -> bool {
        let latest = &mut self.link_mut(from, to).latest_arrival;
        let has_overtaken = number < *latest;
        *latest = number.max(*latest);
        has_overtaken
    }

    pub(super) fn change_weather(&mut self, from: usize, to: usize, weather: Weather, until: Instant) {
        let link = self.link_mut(from, to);
        (link.weather, link.weather_until) = (weather, Some(until));
    }

    /// Lets nothing from the nodes of one side, as bits, to the others, nor back unless it is one-way. Returns the
    /// number of directions in which nodes learn that they are disconnected.
    pub(super) fn cut_off(&mut self, side: u32, kind: Kind, disconnects: bool, until: Instant) -> usize {
        let (nodes, mut disconnected) = (self.nodes, 0);
        let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
        for (from, to) in pairs {
            let (leaves, enters) = (side >> from & 1 == 1, side >> to & 1 == 1);
            if leaves == enters {
                continue;
            }
            let link = self.link_mut(from, to);
            if leaves || kind != Kind::OneWayPartition {
                link.cut_until = Some((until, kind));
            }
            if disconnects {
                link.epoch += 1;
                link.is_disconnected_until = Some(until);
                disconnected += 1;
            }
        }
        disconnected
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        for link in &mut self.links {
            link.weather_until = None;
            link.cut_until = None;
            link.is_disconnected_until = None;
        }
    }

    /// Returns the senders of messages that are on their way.
    pub(super) fn senders(&self) -> impl Iterator<Item = Life> {
        self.messages.keys().copied()
    }

    /// Returns the weather from one node to another now.
    pub(crate) fn weather(&self, from: usize, to: usize) -> Weather {
        let link = self.link(from, to);
        let is_over = link.weather_until.is_none_or(|until| until <= Instant::now());
        if is_over { Weather::default() } else { link.weather }
    }

    /// Returns the kind of partition that keeps messages from getting from one node to another now.
    pub(crate) fn cut(&self, from: usize, to: usize) -> Option<Kind> {
        self.link(from, to).cut_until.filter(|(until, _)| *until > Instant::now()).map(|(_, kind)| kind)
    }

    /// Returns what distinguishes connections between two nodes, or `None` while they know that there is none.
    pub(crate) fn epoch(&self, from: usize, to: usize) -> Option<u64> {
        let link = self.link(from, to);
        let is_disconnected = link.is_disconnected_until.is_some_and(|until| until > Instant::now());
        (!is_disconnected).then_some(link.epoch)
    }

    fn link(&self, from: usize, to: usize) -> &LinkState {
        &self.links[from * self.nodes + to]
    }

    fn link_mut(&mut self, from: usize, to: usize) -> &mut LinkState {
        &mut self.links[from * self.nodes + to]
    }
}
