//! Preferences in the headers and the query of a request. Pure.

use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use counter_cluster::InvalidDurability;
use counter_keyspace::SessionId;

use super::problem::Problem;
use super::query::Query;
use crate::counters::{Durability, SessionToken};

/// Name of the header that identifies a request across retries.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Name of the header with what a client would like (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Name of the header with what it got.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Media type of one JSON value a line.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Way in which a request is to be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// Guarantee of the answer, if not the server's default.
    pub(crate) durability: Option<Durability>,
    /// Session, and sequence number of the request in it.
    pub(crate) idempotency_key: Option<(SessionId, u64)>,
    /// Time for the log to be counted, if not the server's default.
    pub(crate) wait: Option<Duration>,
}

impl Preferences {
    pub(crate) fn of(Parts { headers, uri, .. }: &Parts) -> Result<Self, Problem> {
        let wait = Query::of(uri).wait()?;
        let key = headers.get(IDEMPOTENCY_KEY).map(|key| idempotency_key(key).ok_or_else(invalid_key));
        Ok(Self { durability: durability(headers)?, idempotency_key: key.transpose()?, wait })
    }
}

/// Returns the durability that the headers ask for. Other preferences are nobody's concern here.
fn durability(headers: &HeaderMap) -> Result<Option<Durability>, Problem> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let preferences = values.flat_map(|value| value.split(','));
    let mut asked = preferences.filter_map(|preference| {
        let (token, value) = preference.split(';').next()?.split_once('=')?;
        let is_durability = token.trim().eq_ignore_ascii_case("durability");
        is_durability.then(|| value.trim().trim_matches('"'))
    });
    let invalid = |error: InvalidDurability| Problem::invalid(format!("the durability is unknown: {error}"));
    asked.next().map(|level| level.parse().map_err(invalid)).transpose()
}

/// Returns the session and the sequence number of `SESSION-SEQUENCE`, in quotes or not.
fn idempotency_key(key: &HeaderValue) -> Option<(SessionId, u64)> {
    let key = key.to_str().ok()?;
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    let (session, sequence) = key.split_once('-')?;
    let SessionToken(session) = session.parse().ok()?;
    let number: u64 = sequence.parse().ok()?;
    (number.to_string() == sequence).then_some((session, number))
}

fn invalid_key() -> Problem {
    Problem::invalid("the idempotency key is not SESSION-SEQUENCE; POST /v1/sessions opens a session")
}

/// Returns true if a client accepts this media type and prefers it to JSON.
pub(crate) fn prefers(headers: &HeaderMap, media_type: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut quality, mut of_json) = (Quality::default(), Quality::default());
    for range in accepted.flat_map(|value| value.split(',')) {
        quality.consider(range, media_type);
        of_json.consider(range, "application/json");
    }
    quality.value > of_json.value
}

/// Quality of a media type, by the range that says most about it.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    specificity: u8,
    value: f32,
}

impl Quality {
    fn consider(&mut self, range: &str, media_type: &str) {
        let mut parts = range.split(';').map(str::trim);
        let pattern = parts.next().unwrap_or_default();
        let any_subtype = pattern.strip_suffix("/*").filter(|of_type| {
            media_type.split_once('/').is_some_and(|(whole, _)| whole.eq_ignore_ascii_case(of_type))
        });
        let specificity = match pattern {
            _ if pattern.eq_ignore_ascii_case(media_type) => 3,
            _ if any_subtype.is_some() => 2,
            "*/*" => 1,
            _ => return,
        };
        if specificity > self.specificity {
            let value = parts.find_map(|part| part.strip_prefix("q="));
            self.value = value.map_or(1.0, |value| value.parse().unwrap_or(0.0));
            self.specificity = specificity;
        }
    }
}

/// Returns true if the body of a request has this media type.
pub(crate) fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn durability_is_found_among_other_preferences() {
        let asked = |values: &[&'static str]| durability(&headers(PREFER, values));
        assert_eq!(asked(&[]), Ok(None));
        assert_eq!(asked(&["wait=5", "respond-async, Durability=fsync; x=1"]), Ok(Some(Durability::Fsync)));
        assert_eq!(asked(&["durability=\"memory\", durability=fsync"]), Ok(Some(Durability::Memory)));
        assert_eq!(asked(&["durability"]), Ok(None));
        let two = Durability::Replicated(2.try_into().unwrap());
        assert_eq!(asked(&["durability=replicated=2"]), Ok(Some(two)));
        assert!(asked(&["durability=replicated"]).is_err());
    }

    #[test]
    fn an_idempotency_key_is_a_session_and_a_sequence_number() {
        let key = |value| idempotency_key(&HeaderValue::from_static(value));
        let expected = Some((SessionId { incarnation: 3, number: 17 }, 5));
        assert_eq!(key("3.17-5"), expected);
        assert_eq!(key("\"3.17-5\""), expected);
        let wrong =
            ["", "3.17", "3.17-", "3.17-x", "3-5", "3.17-+5", "3.17--5", "\"3.17-5", " 3.17-5", "3.17-05"];
        for wrong in wrong {
            assert_eq!(key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_media_type_is_preferred_by_its_quality() {
        let text = |accept| prefers(&headers(header::ACCEPT, &[accept]), "text/plain");
        for accept in
            ["text/plain", "TEXT/*", "application/json;q=0.5, text/plain;q=0.6", "text/plain, */*;q=0.1"]
        {
            assert!(text(accept), "{accept}");
        }
        for accept in
            ["*/*", "", "application/json", "text/plain, application/json", "text/html", "*/*, text/*;q=0"]
        {
            assert!(!text(accept), "{accept}");
        }
    }
}
