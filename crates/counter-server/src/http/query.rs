//! Names in paths, and parameters of queries: percent-encoded bytes. Pure.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::Problem;
use crate::counters::{InvalidPositions, Positions};
use crate::digits;

/// Maximum time in milliseconds for which other nodes or the log are waited for.
const MAX_WAIT_MS: u64 = 60_000;

/// Last segment of the path, decoded: the name of a counter, which may hold any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastSegment(pub(crate) Vec<u8>);

/// Parameters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl LastSegment {
    fn of(uri: &Uri) -> Self {
        let segment = uri.path().rsplit('/').next().unwrap_or_default();
        Self(Cow::from(percent_decode(segment.as_bytes())).into_owned())
    }
}

impl<S: Sync> FromRequestParts<S> for LastSegment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.uri))
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.uri))
    }
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        Self::parse(uri.query().unwrap_or_default())
    }

    fn parse(query: &str) -> Self {
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        let pairs = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
        Self(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// Checks that there are no parameters but these, and each at most once.
    pub(crate) fn check(&self, known: &[&str]) -> Result<(), Problem> {
        for (position, (name, _)) in self.0.iter().enumerate() {
            let text = String::from_utf8_lossy(name);
            if !known.contains(&&*text) {
                return Err(Problem::invalid(format!("unknown parameter {text:?}")));
            }
            if self.0[..position].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::invalid(format!("parameter {text} is there twice")));
            }
        }
        Ok(())
    }

    /// Returns the bytes of a parameter.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| &value[..])
    }

    /// Returns the number of a parameter, which is within these bounds.
    pub(crate) fn number(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(value) = self.bytes(name) else { return Ok(None) };
        let number = digits::number(value);
        let (min, max) = (bounds.start(), bounds.end());
        let invalid = || Problem::invalid(format!("{name} is no number from {min} to {max}"));
        number.filter(|number| bounds.contains(number)).ok_or_else(invalid).map(Some)
    }

    /// Returns the time in which all nodes are asked first, if the answer is to be as fresh as the request.
    pub(crate) fn fresh(&self) -> Result<Option<Duration>, Problem> {
        Ok(self.number("fresh_ms", 1..=MAX_WAIT_MS)?.map(Duration::from_millis))
    }

    /// Returns the time for the log to be counted, if the request says one.
    pub(crate) fn wait(&self) -> Result<Option<Duration>, Problem> {
        Ok(self.number("wait_ms", 0..=MAX_WAIT_MS)?.map(Duration::from_millis))
    }

    /// Returns the positions in the log that are to be counted before the answer.
    pub(crate) fn after(&self) -> Result<Option<Positions>, Problem> {
        let Some(after) = self.bytes("after") else { return Ok(None) };
        let positions = str::from_utf8(after).map_err(|_| InvalidPositions).and_then(str::parse);
        positions.map(Some).map_err(|error| Problem::invalid(format!("after: {error}")))
    }
}

/// Decodes a part of a query, in which a plus sign is a space.
fn decode(text: &str) -> Vec<u8> {
    let text: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_bytes_that_are_known_and_come_once() {
        let query = Query::parse("prefix=a%2Fb+%FF%zz&limit=7&flag");
        assert_eq!(query.bytes("prefix"), Some(&b"a/b \xff%zz"[..]));
        assert_eq!((query.bytes("flag"), query.bytes("other")), (Some(&b""[..]), None));
        assert_eq!(query.number("limit", 1..=9), Ok(Some(7)));
        assert_eq!(query.number("other", 1..=9), Ok(None));
        assert!(query.check(&["prefix", "limit", "flag"]).is_ok());
        assert!(query.check(&["prefix", "limit"]).is_err());
        assert!(Query::parse("a=1&a=1").check(&["a"]).is_err());
        for number in ["n=0", "n=10", "n=+5", "n=-5", "n=", "n=5x", "n=99999999999999999999"] {
            assert!(Query::parse(number).number("n", 1..=9).is_err(), "{number}");
        }
    }

    proptest! {
        #[test]
        fn a_name_of_any_bytes_survives_a_path(name in prop::collection::vec(any::<u8>(), 1..50)) {
            let encoded = percent_encoding::percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
            let uri: Uri = format!("/v1/counters/{encoded}?x=/y").parse().unwrap();
            prop_assert_eq!(LastSegment::of(&uri), LastSegment(name));
        }
    }
}
