//! HTTP client of tests.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use counter_server::Server;
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Connection to a server.
#[derive(Debug)]
pub(crate) struct Client {
    requests: SendRequest<Body>,
}

/// Answer of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let address = server.http_addr().expect("HTTP is on");
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let (requests, connection) = handshake(TokioIo::new(stream)).await.expect("it is open");
        // It ends with the client or the server.
        tokio::spawn(connection);
        Self { requests }
    }

    /// Sends a request such as `GET /path`, with headers such as `accept: text/plain`, and returns the answer.
    pub(crate) async fn ask(&mut self, request: &str, headers: &[&str], body: impl Into<Body>) -> Answer {
        let response = self.open(request, headers, body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("headers are ASCII").to_owned()));
        let headers = headers.collect();
        let body = to_bytes(Body::new(response.into_body()), usize::MAX).await.expect("the body is complete");
        Answer { status, headers, body: String::from_utf8(body.into()).expect("it is UTF-8") }
    }

    /// Sends a request, and returns the answer without its body.
    pub(crate) async fn open(
        &mut self,
        request: &str,
        headers: &[&str],
        body: impl Into<Body>,
    ) -> hyper::Response<hyper::body::Incoming> {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let mut builder = Request::builder().method(method).uri(path).header("host", "test");
        for header in headers {
            let (name, value) = header.split_once(": ").expect("a name and a value");
            builder = builder.header(name, value);
        }
        self.requests.ready().await.expect("the connection is open");
        let request = builder.body(body.into()).expect("the request is valid");
        self.requests.send_request(request).await.expect("the server answers")
    }

    /// Sends a request of JSON.
    pub(crate) async fn send_json(&mut self, request: &str, body: &str) -> Answer {
        self.ask(request, &["content-type: application/json"], body.to_owned()).await
    }

    /// Returns true once the server has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.requests.ready().await.is_err()
    }
}

impl Answer {
    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Returns the lines of the body as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// Returns the kind of problem that the body details.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix("urn:problem-type:counter:"));
        kind.expect("the type is one of ours").to_owned()
    }
}
