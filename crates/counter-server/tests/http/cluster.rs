//! A server that is a node of a cluster whose other nodes are not there.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use counter_server::{PeerOptions, ServeOptions, Server};
use ractor_transport::Cookie;
use serde_json::json;

use crate::client::Client;
use crate::setup::{directory, options};

fn peer_options(dir: &Path, name: &str, peers: &[&str]) -> PeerOptions {
    let cookie_file = dir.join("cookie");
    Cookie::generate().write_new(&cookie_file).expect("there is room");
    PeerOptions {
        name: name.parse().expect("it is a name"),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        peers: peers.iter().map(ToString::to_string).collect(),
        cookie_file,
        tls_dir: None,
        allow_plaintext: false,
        max_connections: 64,
        accept_rollback: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_refuses_what_it_cannot_do_alone_and_shows_the_cluster() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody is there.
    let peers = peer_options(dir.path(), "http", &["127.0.0.1:1"]);
    let server = Server::start(ServeOptions { peers: Some(peers), ..options() }).await.unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.send_json("POST /v1/counters/a", r#"{"by":5}"#).await.json()["value"], 5);
    for (request, body) in [("PUT /v1/counters/a", r#"{"value":1}"#), ("DELETE /v1/counters/a", "")] {
        let answer = client.send_json(request, body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (409, "needs-one-owner"), "{request}");
    }
    let lines = "{\"name\":\"a\"}\n{\"name\":\"a\",\"op\":\"delete\"}\n";
    let batch = client.ask("POST /v1/counters", &["content-type: application/x-ndjson"], lines).await;
    assert_eq!(batch.problem(), "needs-one-owner");

    let session = client.ask("POST /v1/sessions", &[], "").await.json();
    let session = session["session"].as_str().unwrap();
    for (session, expected) in [(session, 200), (session, 200), ("1.1", 410)] {
        let key = format!("idempotency-key: {session}-1");
        assert_eq!(client.ask("POST /v1/counters/a", &[&key], "").await.status, expected);
    }
    let two = client.ask("POST /v1/counters/a", &["prefer: durability=replicated=2"], "").await;
    assert_eq!((two.status, two.problem().as_str()), (422, "not-durable"));

    let list = client.ask("GET /v1/counters?prefix=a", &[], "").await.json();
    assert_eq!(list["counters"], json!([{"name": "a", "value": 6, "operations": 2}]));
    let status = client.ask("GET /v1/status", &[], "").await.json();
    assert_eq!((&status["totals"]["value"], &status["cluster"]["nodes"]), (&json!(6), &json!([])));
    let metrics = client.ask("GET /metrics", &[], "").await.body;
    assert!(metrics.contains("counter_server_replicas 1.0\n"), "{metrics}");
    let cluster = client.ask("GET /v1/cluster?fresh_ms=1000", &[], "").await.json();
    let replica = cluster["replica"].as_str().unwrap();
    assert!(replica.starts_with("http#"), "{replica}");
    let expected = json!({
        "replica": replica, "counters": 1, "value": 6, "operations": 2, "nodes": [],
        "replicas": [{"replica": replica, "value": 6, "operations": 2, "forks": 0}],
        "refused": 0, "alarm": null,
    });
    assert_eq!(cluster, expected);
    assert_eq!(client.ask("GET /v1/cluster?fresh_ms=0", &[], "").await.problem(), "invalid-request");
    // The one who is configured was never there.
    assert!(server.shutdown().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_store_has_never_had_a_peer_counts_alone() {
    let dir = tempfile::tempdir().unwrap();
    let peers = Some(peer_options(dir.path(), "alone", &[]));
    let storage = directory(&dir.path().join("data"));
    let server = Server::start(ServeOptions { peers, storage, ..options() }).await.unwrap();
    let mut client = Client::connect(&server).await;
    let session = client.ask("POST /v1/sessions", &[], "").await.json();
    let key = format!("idempotency-key: {}-1", session["session"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(client.ask("POST /v1/counters/a", &[&key], "").await.json()["value"], 1);
    }
    for (request, body, value) in
        [("PUT /v1/counters/a", r#"{"value":7}"#, 7), ("DELETE /v1/counters/a", "", 7)]
    {
        assert_eq!(client.send_json(request, body).await.json()["value"], value, "{request}");
    }
    assert_eq!(client.ask("GET /v1/counters", &[], "").await.json()["counters"], json!([]));
    let status = client.ask("GET /v1/status", &[], "").await.json();
    assert_eq!((&status["totals"]["counters"], &status["cluster"]), (&json!(0), &json!(null)));
    assert_eq!(client.ask("GET /v1/cluster", &[], "").await.problem(), "no-cluster");
    server.shutdown().await.unwrap();
}
