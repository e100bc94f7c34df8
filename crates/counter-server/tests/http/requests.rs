//! Requests that are refused, and connections that end.

use axum::body::{Body, Bytes, to_bytes};
use futures_util::stream;

use crate::client::Client;
use crate::setup::server;

#[tokio::test]
async fn what_is_not_understood_is_refused_with_a_problem() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let json = "content-type: application/json";
    let ndjson = "content-type: application/x-ndjson";
    let long = format!("POST /v1/counters/{}", "x".repeat(65_000));
    let cases: &[(&str, &[&str], &str, u16, &str)] = &[
        ("GET /nothing", &[], "", 404, "no-such-resource"),
        ("PATCH /v1/counters/a", &[], "", 405, "method-not-allowed"),
        ("POST /v1/counters/a", &[json], "{", 400, "invalid-request"),
        ("POST /v1/counters/a", &[json], r#"{"by":1.5}"#, 400, "invalid-request"),
        ("POST /v1/counters/a", &[json], r#"{"by":9223372036854775808}"#, 400, "invalid-request"),
        ("POST /v1/counters/a", &[json], r#"{"to":1}"#, 400, "invalid-request"),
        ("POST /v1/counters/a", &[], r#"{"by":1}"#, 415, "unsupported-media-type"),
        ("PUT /v1/counters/a", &[json], "", 400, "invalid-request"),
        ("POST /v1/counters", &[json], "", 415, "unsupported-media-type"),
        ("POST /v1/counters", &[ndjson], "{}", 400, "invalid-request"),
        ("GET /v1/counters?limit=0", &[], "", 400, "invalid-request"),
        ("GET /v1/counters?limits=5", &[], "", 400, "invalid-request"),
        ("GET /v1/top?n=x", &[], "", 400, "invalid-request"),
        ("POST /v1/counters/a", &["idempotency-key: x"], "", 400, "invalid-request"),
        ("POST /v1/counters/a", &["prefer: durability=much"], "", 400, "invalid-request"),
        ("POST /v1/counters/a", &["prefer: durability=fsync"], "", 422, "not-durable"),
        ("GET /v1/counters/a", &["prefer: durability=fsync"], "", 422, "not-durable"),
        ("POST /v1/counters/a", &["origin: http://example.org"], "", 403, "other-site"),
        ("DELETE /v1/sessions/x", &[], "", 400, "invalid-request"),
    ];
    for (request, headers, body, status, kind) in cases {
        let answer = client.ask(request, headers, (*body).to_owned()).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (*status, *kind),
            "{request} {headers:?} {body}"
        );
    }
    assert_eq!(client.ask(&long, &[], "").await.status, 200);
    let allowed = client.ask("PATCH /v1/counters/a", &[], "").await.headers["allow"].clone();
    assert_eq!(allowed, "GET,HEAD,POST,PUT,DELETE");
    let list = client.ask("GET /v1/counters", &[], "").await.json();
    assert_eq!(list["counters"].as_array().unwrap().len(), 1);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_whether_its_length_is_known_or_not() {
    let server = server().await;
    let limit = server.service().limits().request_bytes;
    let headers = ["content-type: application/json"];
    let bytes = Bytes::from(vec![b' '; limit + 1]);
    let announced = Body::from(bytes.clone());
    let pieces = stream::iter([Ok::<_, std::io::Error>(bytes.slice(..limit)), Ok(bytes.slice(limit..))]);
    for body in [announced, Body::from_stream(pieces)] {
        let answer = Client::connect(&server).await.ask("POST /v1/counters/a", &headers, body).await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "too-large"));
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_the_server_drains() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("GET /readyz", &[], "").await.body, "ready\n");
    server.shutdown().await.unwrap();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn every_operation_of_the_description_is_served() {
    let server = server().await;
    let mut client = Client::connect(&server).await;
    let description = client.ask("GET /openapi.json", &[], "").await.json();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let asked = path.replace("{name}", "a").replace("{session}", "1.1");
        for method in ["get", "post", "put", "delete"] {
            let request = format!("{} {asked}", method.to_uppercase());
            let response = Client::connect(&server).await.open(&request, &[], "").await;
            let status = response.status().as_u16();
            let is_described = operations.get(method).is_some();
            assert_eq!(status != 405, is_described, "{request}: {status}");
            if status == 404 {
                let problem = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
                assert!(!String::from_utf8_lossy(&problem).contains("no-such-resource"), "{request}");
            }
        }
    }
    server.shutdown().await.unwrap();
}
