//! Where an answer stands in the log of a topic, if counters follow one. Pure.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response};

use crate::counters::{Counters, Durability, LagStatus, Positions, TopicCounters};

/// Name of the header with the number of records that the answer is behind the log.
const LAG: HeaderName = HeaderName::from_static("counter-lag");

/// Name of the header with positions behind what was written.
const POSITION: HeaderName = HeaderName::from_static("counter-position");

/// Distance of an answer from the end of the log; null if it is not known.
pub(crate) type KnownLag = Option<LagStatus>;

/// Place of what was written, and of what was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Placed {
    /// With this guarantee, on this server or its cluster.
    Here(Durability),
    /// In the log of a topic.
    InLog { positions: Positions, lag: KnownLag },
}

impl Placed {
    pub(crate) fn durability(&self) -> Option<String> {
        match self {
            Self::Here(durability) => Some(durability.to_string()),
            Self::InLog { .. } => None,
        }
    }

    /// Returns the positions behind what was written, if there are any.
    pub(crate) fn position(&self) -> Option<String> {
        match self {
            Self::InLog { positions, .. } if !positions.is_empty() => Some(positions.to_string()),
            Self::InLog { .. } | Self::Here(_) => None,
        }
    }

    /// Returns the lag, if there is a log.
    pub(crate) const fn lag(&self) -> Option<KnownLag> {
        match self {
            Self::InLog { lag, .. } => Some(*lag),
            Self::Here(_) => None,
        }
    }

    /// Adds the headers of the place.
    pub(crate) fn head(&self, mut response: Response<Body>) -> Response<Body> {
        if let Some(position) = self.position() {
            set(&mut response, POSITION, &position);
        }
        with_lag(response, self.lag())
    }
}

/// Returns how far counts are behind the log now.
pub(crate) fn known_lag(topic: &TopicCounters) -> KnownLag {
    topic.lag().map(LagStatus::from)
}

/// Adds the header of the lag, if there is a log.
pub(crate) fn with_lag(mut response: Response<Body>, lag: Option<KnownLag>) -> Response<Body> {
    match lag {
        None => {}
        Some(None) => set(&mut response, LAG, "unknown"),
        Some(Some(LagStatus { records, age_ms })) => {
            set(&mut response, LAG, &format!("{records};age_ms={age_ms}"));
        }
    }
    response
}

/// Adds the header of the lag to an answer that has none, such as a problem.
pub(crate) fn complete(response: Response<Body>, counters: Option<&Counters>) -> Response<Body> {
    match counters.and_then(Counters::topic) {
        Some(topic) if !response.headers().contains_key(LAG) => with_lag(response, Some(known_lag(topic))),
        Some(_) | None => response,
    }
}

/// Adds the header of positions.
pub(crate) fn with_positions(mut response: Response<Body>, positions: &Positions) -> Response<Body> {
    set(&mut response, POSITION, &positions.to_string());
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    // It is ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_lag_is_said_to_be_unknown() {
        let header = |lag| {
            let response = with_lag(Response::new(Body::empty()), lag);
            response.headers().get(LAG).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(None), None);
        assert_eq!(header(Some(None)).as_deref(), Some("unknown"));
        let known = LagStatus { records: 0, age_ms: 250 };
        assert_eq!(header(Some(Some(known))).as_deref(), Some("0;age_ms=250"));
    }
}
