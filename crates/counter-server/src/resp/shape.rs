//! Replies to operations on counters: what their outcomes become. Pure.

use counter_keyspace::{DeadlineCondition, Outcome, Presence};

use super::encode::{self, Reply, Version};

/// Milliseconds of a second.
const SECOND_MS: u64 = 1000;

/// Reply to a command, given the outcomes of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// New value.
    Integer,
    /// Value, or null.
    Value,
    /// List of values or nulls.
    Values,
    /// Number of counters that exist or existed.
    Existing,
    /// `string` or `none`.
    Type,
    /// `OK`, or null if the condition has not held.
    Set(Presence),
    /// 1, or 0 if the counter existed.
    SetIfAbsent,
    /// 1, or 0 if the counter does not exist or the condition has not held.
    Expired { deadline_ms: u64, condition: DeadlineCondition },
    /// 1, or 0 if there was no deadline.
    Persisted,
    /// Time left in seconds.
    Seconds,
    /// Time left in milliseconds.
    Milliseconds,
    /// New value and the amount that was added.
    Added,
}

impl Shape {
    /// Appends the reply to the outcomes of one command.
    pub(crate) fn encode(self, outcomes: &[Outcome], version: Version, out: &mut Vec<u8>) {
        match self {
            Self::Values => {
                encode::array(outcomes.len(), out);
                outcomes.iter().for_each(|outcome| Self::Value.encode_one(*outcome, version, out));
            }
            Self::Existing => {
                let exists = |outcome: &&Outcome| {
                    matches!(
                        outcome,
                        Outcome::Value(Some(_)) | Outcome::Removed(Some(_)) | Outcome::OutOfRange(_)
                    )
                };
                encode::integer(outcomes.iter().filter(exists).count().try_into().unwrap_or(i64::MAX), out);
            }
            _ => match outcomes {
                [outcome] => self.encode_one(*outcome, version, out),
                _ => unexpected().encode(version, out),
            },
        }
    }

    fn encode_one(self, outcome: Outcome, version: Version, out: &mut Vec<u8>) {
        let reply = match (self, outcome) {
            (Self::Integer, Outcome::Value(Some(value))) => return encode::integer(value, out),
            (Self::Value, Outcome::Value(value)) => return bulk(value, version, out),
            (Self::Value, Outcome::Removed(count)) => {
                return bulk(count.map(|count| count.value), version, out);
            }
            (_, Outcome::Full) => {
                Reply::Error("OOM command not allowed when used memory > 'maxmemory'.".into())
            }
            // Only a topic has such sums.
            (_, Outcome::Applied) => {
                Reply::Error("ERR increment is counted, but its counter is beyond 64 bits".into())
            }
            (Self::Added, Outcome::Added { value, amount }) => pair(value, amount),
            (Self::Added, Outcome::OutOfRange(value)) => pair(value, 0),
            // In a cluster, the sum of a counter that exists.
            (Self::Type, Outcome::OutOfRange(_)) => Reply::Simple("string"),
            (Self::Value, Outcome::OutOfRange(_)) => {
                Reply::Error("ERR value is not an integer or out of range".into())
            }
            (_, Outcome::OutOfRange(_)) => Reply::Error("ERR increment or decrement would overflow".into()),
            (Self::Type, Outcome::Value(value)) => Reply::Simple(value.map_or("none", |_| "string")),
            (Self::Set(presence), Outcome::Value(before)) => {
                if presence.holds(before.is_some()) {
                    Reply::OK
                } else {
                    Reply::Null
                }
            }
            (Self::SetIfAbsent, Outcome::Value(before)) => Reply::Integer(before.is_none().into()),
            (Self::Expired { .. } | Self::Persisted, Outcome::Value(_)) => Reply::Integer(0),
            (Self::Expired { deadline_ms, condition }, Outcome::Deadline(before)) => {
                Reply::Integer(condition.holds(before, deadline_ms).into())
            }
            (Self::Persisted, Outcome::Deadline(before)) => Reply::Integer(before.is_some().into()),
            (Self::Seconds | Self::Milliseconds, Outcome::Value(_)) => Reply::Integer(-2),
            (Self::Seconds | Self::Milliseconds, Outcome::Ttl(None)) => Reply::Integer(-1),
            // Rounded to the nearest second, as in Redis.
            (Self::Seconds, Outcome::Ttl(Some(left_ms))) => time((left_ms + SECOND_MS / 2) / SECOND_MS),
            (Self::Milliseconds, Outcome::Ttl(Some(left_ms))) => time(left_ms),
            _ => unexpected(),
        };
        reply.encode(version, out);
    }
}

fn bulk(value: Option<i64>, version: Version, out: &mut Vec<u8>) {
    match value {
        Some(value) => encode::bulk(itoa::Buffer::new().format(value).as_bytes(), out),
        None => encode::null(version, out),
    }
}

fn pair(value: i64, amount: i64) -> Reply {
    Reply::Array(vec![Reply::Integer(value), Reply::Integer(amount)])
}

fn time(time: u64) -> Reply {
    Reply::Integer(time.try_into().unwrap_or(i64::MAX))
}

/// Reply to an outcome that the operation does not have.
fn unexpected() -> Reply {
    Reply::Error("ERR unexpected outcome".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_whose_sum_is_beyond_64_bits_exists_and_has_no_value() {
        let encoded = |shape: Shape| {
            let mut out = Vec::new();
            shape.encode(&[Outcome::OutOfRange(i64::MAX)], Version::Two, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!((encoded(Shape::Existing), encoded(Shape::Type)), (":1\r\n".into(), "+string\r\n".into()));
        assert_eq!(encoded(Shape::Value), "-ERR value is not an integer or out of range\r\n");
        assert_eq!(encoded(Shape::Values), "*1\r\n-ERR value is not an integer or out of range\r\n");
        assert_eq!(encoded(Shape::Integer), "-ERR increment or decrement would overflow\r\n");
    }
}
