//! A client of a server: RESP counts, and HTTP reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use counter_cluster::Total;
use counter_protocol::CounterName;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::load::Load;
use crate::report::Report;
use crate::resp::Connections;

/// Time that a server has to answer. It is generous: a busy machine is not a fault of the server.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Time that other nodes have to answer a fresh read, in milliseconds.
const FRESH_MS: u64 = 10_000;

/// Client of a server. Clones send to the same process, also at the same time.
#[derive(Clone, Debug)]
pub struct Client {
    resp: Arc<Connections>,
    http: HttpClient<HttpConnector, Empty<Bytes>>,
    http_address: SocketAddr,
}

/// Counter as JSON.
#[derive(Debug, Deserialize)]
struct CounterBody {
    name: CounterName,
    value: i64,
    operations: u64,
}

/// List of counters as JSON.
#[derive(Debug, Deserialize)]
struct ListBody {
    counters: Vec<CounterBody>,
}

impl Client {
    pub(crate) fn new(resp: SocketAddr, http_address: SocketAddr) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { resp: Arc::new(Connections::new(resp)), http, http_address }
    }

    /// Counts one operation.
    ///
    /// # Errors
    /// If the server refuses it, or has ended or takes longer than [`ANSWER_DEADLINE`]; then the operation may have
    /// been counted.
    pub async fn add(&self, name: &str, amount: i64) -> anyhow::Result<()> {
        self.add_all([(name, amount)]).await
    }

    /// Counts operations, in one pipeline.
    ///
    /// # Errors
    /// As of [`add`](Self::add). Of each name, any number of the first operations may have been counted.
    pub async fn add_all(
        &self,
        operations: impl IntoIterator<Item = (impl AsRef<[u8]>, i64)>,
    ) -> anyhow::Result<()> {
        timeout(ANSWER_DEADLINE, self.resp.add(operations)).await.context("no answer from a server")?
    }

    /// Counts a load, in one pipeline.
    ///
    /// # Errors
    /// As of [`add_all`](Self::add_all).
    pub async fn count(&self, load: Load) -> anyhow::Result<()> {
        let operations: Vec<_> = load.operations().collect();
        self.add_all(operations.iter().map(|(name, amount)| (name.as_bytes(), *amount))).await
    }

    /// Reads a counter, with what has arrived of other nodes.
    ///
    /// # Errors
    /// If the server has ended, or takes longer than [`ANSWER_DEADLINE`].
    pub async fn value(&self, name: &str) -> anyhow::Result<Total> {
        self.counter(name, "").await?.context("a wait for other nodes that was not asked for")
    }

    /// Reads a counter after all other nodes have been asked for it.
    ///
    /// # Errors
    /// As of [`value`](Self::value), and if another node does not answer.
    pub async fn fresh_value(&self, name: &str) -> anyhow::Result<Total> {
        self.fresh_value_within(name, FRESH_MS).await?.context("no answer of another node to a fresh read")
    }

    /// Reads a counter after all other nodes have been asked for it. `None` if another node does not answer within this
    /// time in milliseconds.
    ///
    /// # Errors
    /// As of [`value`](Self::value).
    pub async fn fresh_value_within(&self, name: &str, fresh_ms: u64) -> anyhow::Result<Option<Total>> {
        self.counter(name, &format!("?fresh_ms={fresh_ms}")).await
    }

    /// Reads all counters that the node holds.
    ///
    /// # Errors
    /// As of [`value`](Self::value).
    pub async fn everything(&self) -> anyhow::Result<Vec<(CounterName, Total)>> {
        let (status, body) = self.get("/v1/counters", "application/x-ndjson").await?;
        expect_ok(status, &body)?;
        body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(named_total).collect()
    }

    /// Reads the counters with the largest values.
    ///
    /// # Errors
    /// As of [`value`](Self::value).
    pub async fn top(&self, n: u64) -> anyhow::Result<Vec<(CounterName, Total)>> {
        let ListBody { counters } = self.get_json(&format!("/v1/top?n={n}")).await?;
        Ok(counters.into_iter().map(|counter| (counter.name.clone(), counter.total())).collect())
    }

    /// Reads what the node knows of its cluster.
    ///
    /// # Errors
    /// As of [`value`](Self::value), and if it is no node of a cluster.
    pub async fn report(&self) -> anyhow::Result<Report> {
        self.get_json("/v1/cluster").await
    }

    /// Reads a counter. `None` if another node did not answer in time.
    async fn counter(&self, name: &str, query: &str) -> anyhow::Result<Option<Total>> {
        let name = percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
        let (status, body) = self.get(&format!("/v1/counters/{name}{query}"), "application/json").await?;
        match status {
            StatusCode::NOT_FOUND => Ok(Some(Total::default())),
            StatusCode::GATEWAY_TIMEOUT => Ok(None),
            status => {
                expect_ok(status, &body)?;
                Ok(Some(named_total(&body)?.1))
            }
        }
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (status, body) = self.get(path, "application/json").await?;
        expect_ok(status, &body)?;
        serde_json::from_slice(&body).with_context(|| format!("failed to parse an answer to {path}"))
    }

    async fn get(&self, path: &str, accept: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let uri = format!("http://{}{path}", self.http_address);
        let request = Request::get(uri).header(header::ACCEPT, accept).body(Empty::new())?;
        let answered = async {
            let (head, body) = self.http.request(request).await?.into_parts();
            anyhow::Ok((head.status, body.collect().await?.to_bytes()))
        };
        timeout(ANSWER_DEADLINE, answered).await.context("no answer from a server")?
    }
}

impl CounterBody {
    fn total(&self) -> Total {
        Total { value: self.value.into(), operations: self.operations.into() }
    }
}

fn named_total(json: &[u8]) -> anyhow::Result<(CounterName, Total)> {
    let counter: CounterBody = serde_json::from_slice(json).context("failed to parse a counter")?;
    Ok((counter.name.clone(), counter.total()))
}

fn expect_ok(status: StatusCode, body: &[u8]) -> anyhow::Result<()> {
    if status != StatusCode::OK {
        bail!("refusal by a server: {status}: {}", String::from_utf8_lossy(body));
    }
    Ok(())
}
