//! Bearer tokens of HTTP, as in RFC 6750.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::auth::{Access, Role};

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
    let (challenge, problem) = match access.role(token) {
        Some(role) if role >= needed => return None,
        Some(_) => ("Bearer realm=\"counters\", error=\"insufficient_scope\"", Problem::read_only()),
        None if token.is_some() => {
            ("Bearer realm=\"counters\", error=\"invalid_token\"", Problem::no_access("unknown token"))
        }
        None => ("Bearer realm=\"counters\"", Problem::no_access("no bearer token")),
    };
    Some(([(WWW_AUTHENTICATE, challenge)], problem).into_response())
}

/// Returns the token of a header.
fn token(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
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
