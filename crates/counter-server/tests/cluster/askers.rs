//! Clients that ask a node one question after another, whatever happens to the cluster meanwhile.

use std::collections::BTreeMap;

use anyhow::ensure;
use counter_chaos::{Client, Seen};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Milliseconds that other nodes have to answer, so that some do not.
const FRESH_MS: u64 = 50;

/// Clients of one incarnation of a node.
pub(crate) struct Askers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<(Seen, anyhow::Result<()>)>>,
}

impl Askers {
    /// Starts `count` clients, each of which asks for other names.
    pub(crate) fn start(node: &Client, count: usize, names: u64, random: &mut Rng) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = (0..count).map(|_| {
            let (node, stopped, mut random) = (node.clone(), stopped.clone(), random.fork());
            tokio::spawn(async move {
                let (mut seen, mut read) = (Seen::default(), BTreeMap::new());
                while !*stopped.borrow() {
                    let name = format!("key-{:04}", random.u64(..names));
                    if let Err(error) = ask(&node, name, &mut seen, &mut read).await {
                        return (seen, Err(error));
                    }
                }
                (seen, Ok(()))
            })
        });
        Self { stop, tasks: tasks.collect() }
    }

    /// Stops them, and returns what they have seen, and an error if a question was not answered or a value went back.
    pub(crate) async fn finish(self) -> (Seen, anyhow::Result<()>) {
        self.stop.send_replace(true);
        let (mut all, mut outcome) = (Seen::default(), Ok(()));
        for task in self.tasks {
            let (seen, asked) = task.await.expect("they do not panic");
            all.extend(&seen);
            outcome = outcome.and(asked);
        }
        (all, outcome)
    }
}

/// Asks one question of each kind.
async fn ask(
    node: &Client,
    name: String,
    seen: &mut Seen,
    read: &mut BTreeMap<String, u128>,
) -> anyhow::Result<()> {
    seen.report(&node.report().await?)?;
    for total in [Some(node.value(&name).await?), node.fresh_value_within(&name, FRESH_MS).await?] {
        let Some(total) = total else { continue };
        let before = read.insert(name.clone(), total.operations).unwrap_or_default();
        ensure!(total.operations >= before, "{name} had {before} operations, and then {}", total.operations);
    }
    node.top(3).await?;
    Ok(())
}
