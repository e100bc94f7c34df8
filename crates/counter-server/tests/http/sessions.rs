//! Requests that are retried in sessions.

use std::num::NonZeroUsize;
use std::path::Path;

use counter_keyspace::KeyspaceOptions;
use counter_server::{Limits, ServeOptions, Server, Storage};
use counter_store::StoreOptions;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::setup::{options, server};

async fn open_session(client: &mut Client) -> String {
    let answer = client.ask("POST /v1/sessions", &[], "").await;
    assert_eq!(answer.status, 201);
    let session = answer.json()["session"].as_str().expect("it is text").to_owned();
    assert_eq!(answer.headers["location"], format!("/v1/sessions/{session}"));
    session
}

async fn add(client: &mut Client, key: &str, by: i64) -> Answer {
    let headers = [&format!("idempotency-key: {key}"), "content-type: application/json"];
    client.ask("POST /v1/counters/a", &headers, json!({"by": by}).to_string()).await
}

async fn durable_server(dir: &Path) -> Server {
    let storage = Storage::Directory(dir.into(), StoreOptions::default());
    let server = Server::start(ServeOptions { storage, ..options() }).await.expect("it starts");
    server.ready().await;
    server
}

#[tokio::test]
async fn a_request_with_an_idempotency_key_is_applied_once() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let session = open_session(&mut client).await;
    let first = add(&mut client, &format!("{session}-1"), 5).await.json();
    let repeated = add(&mut client, &format!("\"{session}-1\""), 5).await.json();
    assert_eq!((&first["value"], &first), (&json!(5), &repeated));
    assert_eq!(add(&mut client, &format!("{session}-1"), 6).await.problem(), "other-request");
    assert_eq!(add(&mut client, &format!("{session}-2"), 6).await.json()["value"], 11);
    assert_eq!(add(&mut client, &format!("{session}-1"), 5).await.problem(), "superseded");
    assert_eq!(client.ask(&format!("DELETE /v1/sessions/{session}"), &[], "").await.status, 204);
    assert_eq!(add(&mut client, &format!("{session}-3"), 1).await.problem(), "session-expired");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_large_batch_that_is_retried_says_that_it_was_applied() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let key = format!("idempotency-key: {}-1", open_session(&mut client).await);
    let headers = [&key, "content-type: application/x-ndjson"];
    let batch: String = (0..1000).map(|_| "{\"name\":\"a\"}\n").collect();
    let first = client.ask("POST /v1/counters", &headers, batch.clone()).await.lines();
    assert_eq!((first.len(), &first[999]["value"]), (1000, &json!(1000)));
    let repeated = client.ask("POST /v1/counters", &headers, batch).await.lines();
    assert_eq!((repeated.len(), &repeated[999]), (1000, &json!({"name": "a", "applied": true})));
    assert_eq!(client.ask("GET /v1/counters/a", &[], "").await.json()["value"], 1000);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_answered_at_fsync_is_known_to_a_server_that_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = durable_server(dir.path()).await;
    let mut client = Client::connect(&server).await;
    let key = format!("idempotency-key: {}-1", open_session(&mut client).await);
    let headers = [&key, "prefer: durability=fsync"];
    let first = client.ask("POST /v1/counters/a", &headers, "").await;
    assert_eq!(first.headers["preference-applied"], "durability=fsync");
    assert_eq!(first.json(), json!({"name": "a", "value": 1, "operations": 1, "durability": "fsync"}));
    server.shutdown().await.unwrap();

    let server = durable_server(dir.path()).await;
    let mut client = Client::connect(&server).await;
    let repeated = client.ask("POST /v1/counters/a", &headers, "").await;
    assert_eq!(repeated.json(), first.json());
    assert_eq!(client.ask("GET /v1/counters/a", &[], "").await.json()["value"], 1);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn beyond_the_limit_of_names_no_counter_is_created() {
    let keyspace = KeyspaceOptions { shards: NonZeroUsize::MIN, ..KeyspaceOptions::default() };
    let limits = Limits { names: NonZeroUsize::new(2), ..Limits::default() };
    let storage = Storage::Memory(keyspace);
    let server = Server::start(ServeOptions { storage, limits, ..options() }).await.unwrap();
    let mut client = Client::connect(&server).await;
    let mut statuses = Vec::new();
    for name in ["a", "b", "c", "a"] {
        statuses.push(client.ask(&format!("POST /v1/counters/{name}"), &[], "").await.status);
    }
    assert_eq!(statuses, [200, 200, 507, 200]);
    server.shutdown().await.unwrap();
}
