//! The server that HTTP is measured against: axum as it is, with a handler that adds to one atomic number.
//!
//! The argument is the address to listen on.

use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Router, serve};
use tokio::net::TcpListener;

static COUNTER: AtomicI64 = AtomicI64::new(0);

#[derive(serde::Deserialize)]
struct Addition {
    by: i64,
}

#[derive(serde::Serialize)]
struct Counter {
    value: i64,
}

async fn add(body: Bytes) -> Result<impl IntoResponse, StatusCode> {
    let Addition { by } = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let value = COUNTER.fetch_add(by, Ordering::Relaxed) + by;
    let json = serde_json::to_vec(&Counter { value }).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8381".into());
    let router = Router::new().route("/v1/counters/{name}", post(add));
    serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}
