//! The server as a process that is killed, alone and in a cluster, or operated.

mod clients;
mod cluster;
mod operations;
mod server;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use clients::{CONNECTIONS, Counted, REQUESTS, SESSIONS};
use server::Process;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Number of times that the server is killed.
const KILLS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_values_unique_and_gapless_while_the_server_is_killed_and_clients_retry() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    let (address, addresses) = watch::channel(process.resp);
    let counted = Arc::new(Counted::default());
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        clients.spawn(clients::run(client, addresses.clone(), Arc::clone(&counted)));
    }
    let all = CONNECTIONS * SESSIONS * REQUESTS;
    let mut values = Vec::new();
    for kill in 1..=KILLS {
        let mut reached = pin!(counted.reached(all * kill / (KILLS + 1)));
        loop {
            tokio::select! {
                () = &mut reached => break,
                Some(of_client) = clients.join_next() => values.extend(of_client.unwrap()),
            }
        }
        process.kill();
        process = Process::start(dir.path());
        address.send_replace(process.resp);
    }
    while let Some(of_client) = clients.join_next().await {
        values.extend(of_client.unwrap());
    }
    let unique: BTreeSet<_> = values.iter().copied().collect();
    assert_eq!(values.len() as u64, all);
    assert_eq!(unique, (1..=i64::try_from(all).unwrap()).collect());
    let mut check = clients::Connection::connect(process.resp).await.unwrap();
    for client in 0..CONNECTIONS {
        let value = check.ask(&format!("GET own:{client}\r\n"), 1).await.unwrap();
        assert_eq!(value, [format!("{}", SESSIONS * REQUESTS * 2)]);
    }
    process.stop();
}
