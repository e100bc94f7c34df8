//! Several nodes, each a process, and a wire for each direction between two of them.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use counter_cluster::NodeName;
use counter_cluster::transport::{Cookie, certificates};
use futures_util::future::try_join_all;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{Client, Launch, NodeProcess};
use super::proxy::Proxy;

/// How long the nodes may take to find each other.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long a process may take to end when it is told to: longer than a hand-over may take.
const END_DEADLINE: Duration = Duration::from_secs(15);

/// What a cluster is to be like.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The program, `counter-node`.
    pub program: PathBuf,
    /// How many nodes, up to 26: they are called `a`, `b` and so on.
    pub nodes: usize,
    /// Whether they speak TLS.
    pub tls: bool,
}

/// A cluster. All its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The cookie, certificates and logs.
    directory: TempDir,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    launch: Launch,
    process: Option<NodeProcess>,
    is_stopped: bool,
    /// What each other node reaches this one by; nothing for the node itself.
    wires: Vec<Option<Proxy>>,
}

impl Cluster {
    /// Starts all nodes, and returns when they are connected.
    ///
    /// # Errors
    /// If anything does not start, or the nodes do not find each other.
    pub async fn start(ClusterOptions { program, nodes, tls }: ClusterOptions) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("failed to make a directory for the cluster")?;
        let cookie = directory.path().join("cookie");
        Cookie::generate().write_new(&cookie)?;
        let names = ('a'..='z').take(nodes).map(|name| name.to_string().parse());
        let names: Vec<NodeName> = names.collect::<Result<_, _>>()?;
        let tls = tls.then(|| directory.path().join("certificates"));
        if let Some(tls) = &tls {
            certificates(tls, &names).context("failed to make certificates")?;
        }
        let mut members = Vec::new();
        for (number, name) in names.into_iter().enumerate() {
            let mut wires = Vec::new();
            for from in 0..nodes {
                wires.push(if from == number { None } else { Some(Proxy::start().await?) });
            }
            let launch = Launch {
                program: program.clone(),
                cookie: cookie.clone(),
                tls: tls.as_ref().map(|tls| tls.join(name.as_str())),
                peers: Vec::new(),
                log: directory.path().join(format!("{name}.log")),
                arguments: Vec::new(),
                name,
            };
            members.push(Member { launch, process: None, is_stopped: false, wires });
        }
        for from in 0..nodes {
            let wires = members.iter().filter_map(|member| member.wires[from].as_ref());
            members[from].launch.peers = wires.map(Proxy::address).collect();
        }
        // Of two that dial each other at the same moment, one is turned away, perhaps after it was a peer for a moment. Here
        // only one of two dials at first, so that a cluster begins with connections that stay.
        let from_earlier = members.iter().enumerate().flat_map(|(number, member)| &member.wires[..number]);
        from_earlier.flatten().for_each(Proxy::cut);
        try_join_all(members.iter_mut().map(Member::start)).await?;
        let cluster = Self { directory, members };
        cluster.connected(START_DEADLINE).await?;
        cluster.heal_all();
        Ok(cluster)
    }

    /// What the nodes are called.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.members.iter().map(|member| &member.launch.name)
    }

    /// What a node is called.
    ///
    /// # Panics
    /// If there are not so many nodes; so do all methods that take a node's number.
    #[must_use]
    pub fn name(&self, node: usize) -> &NodeName {
        &self.members[node].launch.name
    }

    /// A node's process, if it runs.
    ///
    /// # Errors
    /// If it does not.
    pub fn node(&self, node: usize) -> anyhow::Result<&NodeProcess> {
        self.members[node].process.as_ref().with_context(|| format!("{} does not run", self.name(node)))
    }

    /// What can ask a node.
    ///
    /// # Errors
    /// If it does not run.
    pub fn client(&self, node: usize) -> anyhow::Result<Client> {
        Ok(self.node(node)?.client())
    }

    /// Where a node's cookie, certificates and log are. Others may put their own there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How a node was started.
    #[must_use]
    pub fn launch(&self, node: usize) -> &Launch {
        &self.members[node].launch
    }

    /// Starts a node again, with nothing counted.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        self.members[node].start().await
    }

    /// Kills a node: it has no time for anything.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self, node: usize) -> anyhow::Result<ExitStatus> {
        self.end(node, Signal::SIGKILL).await
    }

    /// Tells a node to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not run, or takes too long.
    pub async fn terminate(&mut self, node: usize) -> anyhow::Result<ExitStatus> {
        self.end(node, Signal::SIGTERM).await
    }

    async fn end(&mut self, node: usize, signal: Signal) -> anyhow::Result<ExitStatus> {
        self.node(node)?.signal(signal)?;
        let mut process = self.members[node].process.take().context("it runs")?;
        process.ended(END_DEADLINE).await
    }

    /// Stops a node where it stands: its connections stay open, and nothing comes from it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&mut self, node: usize) -> anyhow::Result<()> {
        self.node(node)?.signal(Signal::SIGSTOP)?;
        self.members[node].is_stopped = true;
        Ok(())
    }

    /// Lets a stopped node go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&mut self, node: usize) -> anyhow::Result<()> {
        self.node(node)?.signal(Signal::SIGCONT)?;
        self.members[node].is_stopped = false;
        Ok(())
    }

    /// Whether a node runs, be it that it is stopped where it stands.
    #[must_use]
    pub fn is_running(&self, node: usize) -> bool {
        self.members[node].process.is_some()
    }

    /// Whether a node was stopped where it stands.
    #[must_use]
    pub fn is_stopped(&self, node: usize) -> bool {
        self.members[node].is_stopped
    }

    /// Cuts the wires between two nodes, in both directions.
    pub fn cut(&self, a: usize, b: usize) {
        self.wires(a, b).for_each(Proxy::cut);
    }

    /// Heals the wires between two nodes, in both directions.
    pub fn heal(&self, a: usize, b: usize) {
        self.wires(a, b).for_each(Proxy::heal);
    }

    /// Cuts all wires between one node and the rest.
    pub fn isolate(&self, node: usize) {
        (0..self.members.len()).for_each(|other| self.cut(node, other));
    }

    /// Heals all wires.
    pub fn heal_all(&self) {
        self.members.iter().flat_map(|member| &member.wires).flatten().for_each(Proxy::heal);
    }

    /// What the nodes that run and are not stopped are called, and what can ask them.
    pub(super) fn able(&self) -> impl Iterator<Item = (&NodeName, Client)> {
        let able = self.members.iter().filter(|member| !member.is_stopped);
        able.filter_map(|member| Some((&member.launch.name, member.process.as_ref()?.client())))
    }

    fn wires(&self, a: usize, b: usize) -> impl Iterator<Item = &Proxy> {
        self.members[a].wires[b].iter().chain(&self.members[b].wires[a])
    }
}

impl Member {
    async fn start(&mut self) -> anyhow::Result<()> {
        let process = NodeProcess::start(&self.launch).await?;
        self.wires.iter().flatten().for_each(|wire| wire.lead_to(process.address()));
        self.process = Some(process);
        self.is_stopped = false;
        Ok(())
    }
}

impl Drop for Cluster {
    /// A test that fails says what its nodes said.
    #[expect(clippy::print_stderr, reason = "there is no other way out of a panic")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for Member { launch, .. } in &self.members {
                let log = std::fs::read_to_string(&launch.log).unwrap_or_default();
                eprintln!("--- {} said:\n{log}", launch.name);
            }
        }
    }
}
