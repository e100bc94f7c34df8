//! The dashboard: one page that shows what `/v1/events` tells.
//!
//! Its plots are drawn by uPlot, which is in `dashboard/uplot` as its authors publish it, with its licence.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::routing::get;

const PAGE: &str = include_str!("dashboard/index.html");
const UPLOT_SCRIPT: &str = include_str!("dashboard/uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("dashboard/uplot/uPlot.min.css");

/// Permissions of the page: it talks to its own server only.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline'; \
    style-src 'self' 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the routes of the dashboard.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", PAGE) }))
        .route("/dashboard/uPlot.iife.min.js", get(|| async { file("text/javascript", UPLOT_SCRIPT) }))
        .route("/dashboard/uPlot.min.css", get(|| async { file("text/css", UPLOT_STYLE) }))
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A new version of the server comes with a new page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
