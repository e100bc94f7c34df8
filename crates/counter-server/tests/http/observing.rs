//! Events and metrics.

use axum::body::{Body, BodyDataStream};
use counter_server::{ServeOptions, Server, Storage};
use counter_store::StoreOptions;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::client::Client;
use crate::setup::{self, options, server};

/// Reader of server-sent events.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    async fn open(server: &Server, query: &str) -> Self {
        let response = Client::connect(server).await.open(&format!("GET /v1/events{query}"), &[], "").await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: Body::new(response.into_body()).into_data_stream(), text: String::new() }
    }

    /// Waits for the next event of this name. `None` if the server ends before.
    async fn next(&mut self, name: &str) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.strip_prefix(&format!("event: {name}\ndata: "));
                let data = data.map(|data| serde_json::from_str(data).expect("data is JSON"));
                self.text = rest.to_owned();
                if data.is_some() {
                    return data;
                }
            }
            let bytes = self.body.next().await?.expect("the stream is complete");
            self.text.push_str(str::from_utf8(&bytes).expect("events are UTF-8"));
        }
    }
}

#[tokio::test]
async fn what_changes_through_another_front_end_is_an_event() {
    let server = server().await;
    let mut resp = setup::Client::connect(&server).await;
    let mut events = Events::open(&server, "?prefix=a").await;
    resp.ask("INCR b\r\nINCR ab\r\n", 2).await;
    let changed = events.next("changed").await.unwrap();
    assert_eq!(changed, json!({"removed": [], "counters": [{"name": "ab", "value": 1, "operations": 1}]}));
    resp.ask("DEL ab\r\n", 1).await;
    assert_eq!(events.next("changed").await.unwrap(), json!({"removed": ["ab"], "counters": []}));
    let status = events.next("status").await.unwrap();
    assert_eq!((&status["state"], &status["store"]), (&json!("ready"), &Value::Null));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn watchers_see_totals_and_the_largest_counters_until_the_server_drains() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    for name in ["a", "b", "b"] {
        client.ask(&format!("POST /v1/counters/{name}"), &[], "").await;
    }
    let mut events = Events::open(&server, "").await;
    let status = events.next("status").await.unwrap();
    assert_eq!((&status["totals"]["value"], &status["totals"]["counters"]), (&json!(3), &json!(2)));
    let requests =
        status["front_ends"].as_array().unwrap().iter().find(|front_end| front_end["name"] == "http");
    assert_eq!(requests.unwrap()["requests"], 4);
    let top = events.next("top").await.unwrap();
    assert_eq!(top["counters"][0], json!({"name": "b", "value": 2, "operations": 2}));
    server.shutdown().await.unwrap();
    assert_eq!(events.next("none").await, None);
}

#[tokio::test]
async fn metrics_of_the_server_say_how_far_the_store_is_behind() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(dir.path().into(), StoreOptions::default());
    let server = Server::start(ServeOptions { storage, ..options() }).await.unwrap();
    let mut client = Client::connect(&server).await;
    client.ask("POST /v1/counters/a", &[], "").await;
    let answer = client.ask("GET /metrics", &[], "").await;
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    for metric in [
        "counter_server_requests_total{front_end=\"http\"} 2\n",
        "counter_server_connections{front_end=\"http\"} 1\n",
        "counter_server_value 1.0\n",
        "counter_server_commit_lag_seconds ",
        "counter_server_shard_restarts_total{shard=\"0\"} 0\n",
    ] {
        assert!(answer.body.contains(metric), "{metric} is not in\n{}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
    drop(client);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn counters_are_metrics_up_to_a_limit_which_is_a_metric_too() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let batch: String = (0..5001).map(|n| format!("{{\"name\":\"a{n}\"}}\n")).collect();
    client.ask("POST /v1/counters", &["content-type: application/x-ndjson"], batch).await;
    client.ask("POST /v1/counters/b", &[], "").await;
    let all = client.ask("GET /v1/counters/metrics?prefix=a", &[], "").await.body;
    let series = all
        .lines()
        .filter(|line| line.starts_with("counter_value{") || line.starts_with("counter_operations_total{"));
    assert_eq!((series.count(), all.contains("counter_series_truncated 1.0\n")), (10_000, true));
    let one = client.ask("GET /v1/counters/metrics?prefix=b", &[], "").await.body;
    assert!(
        one.contains("counter_value{name=\"b\"} 1\n") && one.contains("counter_series_truncated 0.0\n"),
        "{one}"
    );
    server.shutdown().await.unwrap();
}
