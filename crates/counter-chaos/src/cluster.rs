//! A cluster of processes, with a proxy for each direction between two of them.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use nix::sys::signal::Signal;
use ractor_transport::{Cookie, NodeName, certificates};
use tcp_proxy::TcpProxy;
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Launch, NodeProcess};

/// Time that the nodes have to find each other.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Time that a process has to end when it is told to: longer than closing connections and a hand-over may take.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// Options of [`Cluster::start`].
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Path of the executable `counter-server`.
    pub program: PathBuf,
    /// Number of nodes, up to 26. Their names are `a`, `b` and so on.
    pub nodes: usize,
    /// Encrypts their connections with TLS.
    pub tls: bool,
    /// Gives each node a data directory, and lets it acknowledge at this level (`--durability`). Without it, they count
    /// in memory.
    pub durability: Option<String>,
}

/// Cluster of `counter-server` processes, which are killed when it is dropped.
///
/// Methods that take the index of a node panic if there is no such node.
#[derive(Debug)]
pub struct Cluster {
    /// Directory of the cookie, certificates and logs.
    directory: TempDir,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    launch: Launch,
    process: Option<NodeProcess>,
    is_paused: bool,
    /// Proxies by which the other nodes reach this one, by index; none for the node itself.
    proxies: Vec<Option<TcpProxy>>,
}

impl Cluster {
    /// Starts all nodes, and returns when they are connected.
    ///
    /// # Errors
    /// If a process does not start, or the nodes do not find each other in time.
    pub async fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let ClusterOptions { program, nodes, tls, durability } = options;
        let directory = tempfile::tempdir().context("failed to create a directory for the cluster")?;
        let cookie = directory.path().join("cookie");
        Cookie::generate().write_new(&cookie)?;
        let names = ('a'..='z').take(nodes).map(|name| name.to_string().parse());
        let names: Vec<NodeName> = names.collect::<Result<_, _>>()?;
        let tls = tls.then(|| directory.path().join("certificates"));
        if let Some(tls) = &tls {
            certificates(tls, &names).context("failed to create certificates")?;
        }
        let mut members = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            let mut proxies = Vec::new();
            for from in 0..nodes {
                proxies.push(if from == index {
                    None
                } else {
                    Some(TcpProxy::start().await.context("failed to start a proxy")?)
                });
            }
            let data = data_of(directory.path(), &name).display().to_string();
            let storage = durability.as_ref().map_or_else(
                || vec!["--memory".to_owned()],
                |level| vec!["--data".to_owned(), data, "--durability".to_owned(), level.clone()],
            );
            let launch = Launch {
                program: program.clone(),
                cookie: cookie.clone(),
                tls: tls.as_ref().map(|tls| tls.join(name.as_str())),
                peers: Vec::new(),
                log: directory.path().join(format!("{name}.log")),
                arguments: storage,
                name,
            };
            members.push(Member { launch, process: None, is_paused: false, proxies });
        }
        for from in 0..nodes {
            let proxies = members.iter().filter_map(|member| member.proxies[from].as_ref());
            members[from].launch.peers = proxies.map(TcpProxy::address).collect();
        }
        // Of two nodes that dial each other at the same moment, one is turned away, perhaps after it was a peer for a
        // moment. Here only one of two dials at first, so that a cluster begins with connections that stay.
        let from_earlier = members.iter().enumerate().flat_map(|(index, member)| &member.proxies[..index]);
        from_earlier.flatten().for_each(TcpProxy::cut);
        try_join_all(members.iter_mut().map(Member::start)).await?;
        let cluster = Self { directory, members };
        cluster.wait_until_connected(START_DEADLINE).await?;
        cluster.heal_all();
        Ok(cluster)
    }

    /// Returns the names of the nodes.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.members.iter().map(|member| &member.launch.name)
    }

    /// Returns the name of a node.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn name(&self, node: usize) -> &NodeName {
        &self.members[node].launch.name
    }

    /// Returns a node's process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn node(&self, node: usize) -> anyhow::Result<&NodeProcess> {
        self.members[node].process.as_ref().with_context(|| format!("{} does not run", self.name(node)))
    }

    /// Returns a client of a node.
    ///
    /// # Errors
    /// If it does not run.
    pub fn client(&self, node: usize) -> anyhow::Result<Client> {
        Ok(self.node(node)?.client())
    }

    /// Directory of the nodes' cookie, certificates and logs. A test may put its own files there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the launch of a node.
    #[must_use]
    pub fn launch(&self, node: usize) -> &Launch {
        &self.members[node].launch
    }

    /// Returns the launch of a node, to change how it starts the next time.
    pub fn launch_mut(&mut self, node: usize) -> &mut Launch {
        &mut self.members[node].launch
    }

    /// Returns the data directory of a node, if it has one.
    #[must_use]
    pub fn data(&self, node: usize) -> PathBuf {
        data_of(self.directory(), self.name(node))
    }

    /// Starts a node again, with what is in its data directory or nothing.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        self.members[node].start().await
    }

    /// Kills a node with SIGKILL.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self, node: usize) -> anyhow::Result<ExitStatus> {
        self.end(node, Signal::SIGKILL).await
    }

    /// Stops a node with SIGTERM, and waits until it has ended.
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

    /// Pauses a node with SIGSTOP: its connections stay open, and nothing comes from it.
    ///
    /// # Errors
    /// If it does not run, or does not stop.
    pub async fn pause(&mut self, node: usize) -> anyhow::Result<()> {
        self.node(node)?.pause().await?;
        self.members[node].is_paused = true;
        Ok(())
    }

    /// Resumes a paused node with SIGCONT.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&mut self, node: usize) -> anyhow::Result<()> {
        self.node(node)?.signal(Signal::SIGCONT)?;
        self.members[node].is_paused = false;
        Ok(())
    }

    /// Returns true if a node runs, paused or not.
    #[must_use]
    pub fn is_running(&self, node: usize) -> bool {
        self.members[node].process.is_some()
    }

    /// Returns true if a node is paused.
    #[must_use]
    pub fn is_paused(&self, node: usize) -> bool {
        self.members[node].is_paused
    }

    /// Cuts two nodes off from each other.
    pub fn cut(&self, a: usize, b: usize) {
        self.proxies(a, b).for_each(TcpProxy::cut);
    }

    /// Lets two nodes reach each other again.
    pub fn heal(&self, a: usize, b: usize) {
        self.proxies(a, b).for_each(TcpProxy::heal);
    }

    /// Cuts one node off from all others.
    pub fn isolate(&self, node: usize) {
        (0..self.members.len()).for_each(|other| self.cut(node, other));
    }

    /// Lets all nodes reach each other again.
    pub fn heal_all(&self) {
        self.members.iter().flat_map(|member| &member.proxies).flatten().for_each(TcpProxy::heal);
    }

    /// Returns the nodes that run and are not paused, with their clients.
    pub(crate) fn responsive(&self) -> impl Iterator<Item = (&NodeName, Client)> {
        let responsive = self.members.iter().filter(|member| !member.is_paused);
        responsive.filter_map(|member| Some((&member.launch.name, member.process.as_ref()?.client())))
    }

    fn proxies(&self, a: usize, b: usize) -> impl Iterator<Item = &TcpProxy> {
        self.members[a].proxies[b].iter().chain(&self.members[b].proxies[a])
    }
}

fn data_of(directory: &Path, node: &NodeName) -> PathBuf {
    directory.join(format!("{node}.data"))
}

impl Member {
    async fn start(&mut self) -> anyhow::Result<()> {
        let process = NodeProcess::start(&self.launch).await?;
        self.proxies.iter().flatten().for_each(|proxy| proxy.set_target(process.address()));
        self.process = Some(process);
        self.is_paused = false;
        Ok(())
    }
}

impl Drop for Cluster {
    /// Prints the logs of the nodes if a test fails.
    #[expect(clippy::print_stderr, reason = "there is no other way out of a panic")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for Member { launch, .. } in &self.members {
                let log = std::fs::read_to_string(&launch.log).unwrap_or_default();
                eprintln!("--- log of {}:\n{log}", launch.name);
            }
        }
    }
}
