//! Counters as resources.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::Client;
use crate::setup::server;

#[tokio::test]
async fn a_counter_is_added_to_read_set_and_removed() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let counter = |value: i64, operations: u64| json!({"name": "a", "value": value, "operations": operations, "durability": "memory"});
    let path = "/v1/counters/a";
    let steps = [
        ("POST", r#"{"by":5}"#, counter(5, 1)),
        ("POST", r#"{"by":-7}"#, counter(-2, 2)),
        ("POST", "{}", counter(-1, 3)),
        ("POST", "", counter(0, 4)),
        ("GET", "", counter(0, 4)),
        ("PUT", r#"{"value":9223372036854775807}"#, counter(i64::MAX, 5)),
        ("DELETE", "", counter(i64::MAX, 5)),
        ("POST", "", counter(1, 1)),
    ];
    for (method, body, expected) in steps {
        let answer = client.send_json(&format!("{method} {path}"), body).await;
        assert_eq!((answer.status, answer.json()), (200, expected), "{method} {body}");
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_applied_changes_nothing() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("GET /v1/counters/a", &[], "").await.problem(), "no-such-counter");
    assert_eq!(client.ask("DELETE /v1/counters/a", &[], "").await.problem(), "no-such-counter");
    client.send_json("PUT /v1/counters/a", r#"{"value":9223372036854775807}"#).await;
    let refused = client.ask("POST /v1/counters/a", &[], "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "out-of-range"));
    let answer = client.ask("GET /v1/counters/a", &["accept: text/plain"], "").await;
    assert_eq!(answer.body, "9223372036854775807");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn names_are_percent_encoded_bytes() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let names = [
        ("a%2Fb%20c", json!("a/b c")),
        ("%FF%00", json!([255, 0])),
        ("%C3%A9", json!("é")),
        ("a+b", json!("a+b")),
        ("%6Detrics", json!("metrics")),
    ];
    for (encoded, name) in names {
        let answer = client.ask(&format!("POST /v1/counters/{encoded}"), &[], "").await;
        assert_eq!(answer.json()["name"], name);
        let batch = format!("{}\n", json!({"name": name, "op": "get"}));
        let lines =
            client.ask("POST /v1/counters", &["content-type: application/x-ndjson"], batch).await.lines();
        assert_eq!((&lines[0]["name"], &lines[0]["value"]), (&name, &json!(1)));
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn plain_text_is_the_bare_number() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let accept = ["accept: text/plain, application/json;q=0.5"];
    for expected in ["1", "2", "3"] {
        let answer = client.ask("POST /v1/counters/a", &accept, "").await;
        assert_eq!((answer.headers["content-type"].as_str(), answer.body.as_str()), ("text/plain", expected));
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_batch_is_answered_line_by_line() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let batch = r#"
        {"name":"a"}
        {"name":"a","by":4}
        {"name":"b","op":"set","value":-9223372036854775808}
        {"name":"b","op":"add","by":-1}
        {"name":"a","op":"get"}
        {"name":"c","op":"get"}
        {"name":"b","op":"delete"}
    "#;
    let answer = client.ask("POST /v1/counters", &["content-type: application/x-ndjson"], batch).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/x-ndjson"));
    let lines = answer.lines();
    let values: Vec<_> = lines.iter().map(|line| (&line["name"], &line["value"])).collect();
    let (min, none) = (json!(i64::MIN), Value::Null);
    let [a, b, c] = [json!("a"), json!("b"), json!("c")];
    let [one, five] = [json!(1), json!(5)];
    assert_eq!(
        values,
        [(&a, &one), (&a, &five), (&b, &min), (&b, &none), (&a, &five), (&c, &none), (&b, &min)]
    );
    assert_eq!(lines[3]["problem"]["type"], "urn:problem-type:counter:out-of-range");
    assert_eq!(lines[5]["problem"]["type"], "urn:problem-type:counter:no-such-counter");
    assert_eq!((&lines[4]["operations"], &lines[6]["operations"]), (&json!(2), &json!(1)));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn counters_are_listed_by_prefix_in_pages_and_as_lines() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let names: Vec<_> = (0..2000).map(|n| format!("{}/{n}", ["a", "b"][n % 2])).collect();
    let batch: String = names.iter().map(|name| format!("{}\n", json!({"name": name}))).collect();
    client.ask("POST /v1/counters", &["content-type: application/x-ndjson"], batch).await;
    let expected: BTreeSet<_> = names.iter().filter(|name| name.starts_with("a/")).cloned().collect();

    let (mut listed, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let path = format!("GET /v1/counters?prefix=a%2F&limit=70&cursor={cursor}");
        let body = client.ask(&path, &[], "").await.json();
        let counters = body["counters"].as_array().unwrap();
        assert!(counters.len() <= 70);
        listed.extend(counters.iter().map(|counter| counter["name"].as_str().unwrap().to_owned()));
        match body.get("next") {
            Some(next) => cursor = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(listed, expected);

    let all = client.ask("GET /v1/counters?prefix=a%2F", &["accept: application/x-ndjson"], "").await.lines();
    let listed: BTreeSet<_> = all.iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!((all.len(), listed), (expected.len(), expected));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_largest_counters_come_first() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    for (name, by) in [("a", 3), ("b", 7), ("c", -5), ("d", 7)] {
        client.send_json(&format!("POST /v1/counters/{name}"), &json!({"by": by}).to_string()).await;
    }
    let body = client.ask("GET /v1/top?n=3", &[], "").await.json();
    let names: Vec<_> = body["counters"].as_array().unwrap().iter().map(|counter| &counter["name"]).collect();
    assert_eq!(names, ["b", "d", "a"]);
    server.shutdown().await.unwrap();
}
