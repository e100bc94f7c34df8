//! A server that is killed under clients that pipeline.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clients::{self, CONNECTIONS, Counted, Protocol, REQUESTS, SESSIONS};
use crate::connection::Connection;
use crate::server::Process;

/// Number of times that the server is killed.
const KILLS: u64 = 4;

/// Runs clients that retry in sessions while the server is killed, and checks the counts and the values.
async fn counts_are_exact_and_values_unique_and_gapless(protocol: Protocol) {
    let dir = tempfile::tempdir().expect("there is room");
    let mut process = Process::start(dir.path());
    let (address, addresses) = watch::channel(process.addresses);
    let counted = Arc::new(Counted::default());
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        clients.spawn(clients::run(protocol, client, addresses.clone(), Arc::clone(&counted)));
    }
    let all = CONNECTIONS * SESSIONS * REQUESTS;
    let mut values = Vec::new();
    for kill in 1..=KILLS {
        let mut reached = pin!(counted.reached(all * kill / (KILLS + 1)));
        loop {
            tokio::select! {
                () = &mut reached => break,
                Some(of_client) = clients.join_next() => values.extend(of_client.expect("clients do not panic")),
            }
        }
        process.kill();
        process = Process::start(dir.path());
        address.send_replace(process.addresses);
    }
    while let Some(of_client) = clients.join_next().await {
        values.extend(of_client.expect("clients do not panic"));
    }
    let unique: BTreeSet<_> = values.iter().copied().collect();
    assert_eq!(values.len() as u64, all);
    assert_eq!(unique, (1..=all.cast_signed()).collect());
    let mut check = Connection::connect(process.addresses.resp).await.expect("the server listens");
    for client in 0..CONNECTIONS {
        let value = check.ask(&format!("GET own:{client}\r\n"), 1).await.expect("the server answers");
        assert_eq!(value, [format!("{}", SESSIONS * REQUESTS * 2)]);
    }
    process.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_values_unique_and_gapless_while_the_server_is_killed_and_clients_retry() {
    counts_are_exact_and_values_unique_and_gapless(Protocol::Resp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_values_unique_and_gapless_while_the_server_is_killed_and_clients_of_http_retry()
{
    counts_are_exact_and_values_unique_and_gapless(Protocol::Http).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_an_increment_at_fsync_is_given_twice_though_the_server_is_killed() {
    const ANSWERS: u64 = 2000;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    let (mut values, mut sent) = (Vec::new(), 0);
    for _ in 0..KILLS {
        let counted = Arc::new(Counted::default());
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            clients.spawn(clients::increment(process.addresses, Arc::clone(&counted)));
        }
        counted.reached(ANSWERS).await;
        process.kill();
        for (of_client, sent_by_client) in clients.join_all().await {
            values.extend(of_client);
            sent += sent_by_client;
        }
        process = Process::start(dir.path());
    }
    let unique: BTreeSet<i64> = values.iter().copied().collect();
    assert_eq!(unique.len(), values.len());
    let mut check = Connection::connect(process.addresses.resp).await.unwrap();
    let total: u64 = check.ask("GET shared\r\n", 1).await.unwrap()[0].parse().unwrap();
    assert!((values.len() as u64..=sent).contains(&total), "{total}: {} of {sent}", values.len());
    assert!(unique.last().unwrap().cast_unsigned() <= total);
    process.stop();
}
