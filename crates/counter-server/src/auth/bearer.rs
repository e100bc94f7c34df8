//! Bearer tokens of HTTP, as in RFC 6750.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Access, Role};

/// Paths that need no token: what a supervisor of the server asks, and the dashboard, which asks its user for a token.
/// Nothing of counters.
const PUBLIC: [&str; 5] =
    ["/healthz", "/readyz", "/", "/dashboard/uPlot.iife.min.js", "/dashboard/uPlot.min.css"];

/// Returns the response to a request that its token does not allow. Any token allows reading, and one of read-write
/// everything.
pub(crate) fn refusal<B>(access: &Access, request: &Request<B>) -> Option<Response> {
    if PUBLIC.contains(&request.uri().path()) {
        return None;
    }
    let token = request.headers().get(AUTHORIZATION).and_then(|header| token(header.as_bytes()));
    let needed = if request.method() == Method::GET || request.method() == Method::HEAD {
        Role::ReadOnly
    } else {
        Role::ReadWrite
    };
    let (status, challenge, detail) = match access.role(token) {
        Some(role) if role >= needed => return None,
        Some(_) => (
            StatusCode::FORBIDDEN,
            "Bearer realm=\"counters\", error=\"insufficient_scope\"",
            "token is for reading only",
        ),
        None if token.is_some() => {
            (StatusCode::UNAUTHORIZED, "Bearer realm=\"counters\", error=\"invalid_token\"", "unknown token")
        }
        None => (StatusCode::UNAUTHORIZED, "Bearer realm=\"counters\"", "no bearer token"),
    };
    Some(problem(status, challenge, detail))
}

/// Returns the token of a header.
fn token(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Problem details, as in RFC 9457.
fn problem(status: StatusCode, challenge: &'static str, detail: &str) -> Response {
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"detail\":\"{detail}\"}}",
        status.canonical_reason().unwrap_or_default(),
        status.as_u16(),
    );
    (status, [(WWW_AUTHENTICATE, challenge), (CONTENT_TYPE, "application/problem+json")], body)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_a_token_is_bearer_in_any_case() {
        assert_eq!(token(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(token(b"bEARER  abc "), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"Bearer", b"abc", b""] {
            assert_eq!(token(other), None);
        }
    }
}
