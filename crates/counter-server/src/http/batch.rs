//! Many operations in one request: one JSON value a line, in both directions.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use counter_keyspace::{Operation, Outcome};
use counter_protocol::CounterName;
use serde::{Deserialize, Serialize};

use super::body::read;
use super::connection::Connection;
use super::counter::{CounterBody, count_of, take_outcome, with_count};
use super::integer::{Integer, present};
use super::log::Placed;
use super::preferences::{NDJSON, Preferences, has_media_type};
use super::problem::Problem;

/// Line of a request. Without an operation it adds 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: CounterName,
    #[serde(default)]
    op: LineOperation,
    #[serde(default, deserialize_with = "present")]
    by: Option<Integer>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Integer>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineOperation {
    #[default]
    Add,
    Set,
    Get,
    Delete,
}

/// Line of an answer that has no counter.
#[derive(Clone, Debug, Serialize)]
struct OtherLine<'a> {
    name: &'a CounterName,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
}

/// Applies the lines of a request in order, with one message per shard, and answers each with a line. A line that is
/// not understood refuses the whole request; an operation that cannot be applied refuses itself.
pub(crate) async fn apply(
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if !has_media_type(&parts.headers, NDJSON) {
        return Err(Problem::unsupported_media_type(NDJSON));
    }
    let preferences = Preferences::of(&parts)?;
    let body = read(&connection, body).await?;
    let operations = parse(&body)?;
    let all = operations.iter().flat_map(|(name, operation)| {
        with_count(*operation).map(move |operation| (name.as_bytes(), operation))
    });
    let (outcomes, placed) = connection.apply(&preferences, all).await?;
    let answer = answer(&operations, outcomes, &placed)?;
    Ok(placed.head(([(header::CONTENT_TYPE, NDJSON)], answer).into_response()))
}

fn parse(body: &[u8]) -> Result<Vec<(CounterName, Operation)>, Problem> {
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(number, line)| {
            let invalid = |what: String| Problem::invalid(format!("line {}: {what}", number + 1));
            let line: Line = serde_json::from_slice(line).map_err(|error| invalid(error.to_string()))?;
            let Line { name, op, by, value } = line;
            let operation = match (op, by, value) {
                (LineOperation::Add, by, None) => Operation::Add(by.map_or(1, |Integer(by)| by)),
                (LineOperation::Set, None, Some(Integer(value))) => Operation::Set(value),
                (LineOperation::Get, None, None) => Operation::GetCount,
                (LineOperation::Delete, None, None) => Operation::RemoveAndGet,
                _ => {
                    return Err(invalid(
                        "\"add\" takes \"by\", \"set\" takes \"value\", the others neither".into(),
                    ));
                }
            };
            Ok((name, operation))
        })
        .collect()
}

fn answer(
    operations: &[(CounterName, Operation)],
    outcomes: Vec<Outcome>,
    placed: &Placed,
) -> Result<Vec<u8>, Problem> {
    let (mut answer, mut outcomes, level) = (Vec::new(), outcomes.into_iter(), placed.durability());
    for (name, operation) in operations {
        let (outcome, after) = take_outcome(*operation, &mut outcomes)?;
        let (durability, lag) = (level.as_deref(), placed.lag());
        let line = match count_of(outcome, after) {
            Ok(Some(count)) => {
                let body = CounterBody { durability, lag, ..CounterBody::new(name, count) };
                serde_json::to_writer(&mut answer, &body)
            }
            Ok(None) if outcome == Outcome::Applied => {
                serde_json::to_writer(&mut answer, &OtherLine { name, problem: None, applied: Some(true) })
            }
            absent_or_refused => {
                let problem = absent_or_refused.err().unwrap_or_else(Problem::no_such_counter).to_json();
                serde_json::to_writer(&mut answer, &OtherLine { name, problem: Some(problem), applied: None })
            }
        };
        line.map_err(|error| Problem::invalid(error.to_string()))?;
        answer.push(b'\n');
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_operations() {
        let body = b"{\"name\":\"a\"}\n\n{\"name\":[255],\"by\":-2}\r\n{\"name\":\"a\",\"op\":\"set\",\"value\":7}\n\
            {\"name\":\"a\",\"op\":\"get\"}\n{\"name\":\"a\",\"op\":\"delete\"}";
        let operations: Vec<_> = parse(body).unwrap().into_iter().map(|(_, operation)| operation).collect();
        let expected = [
            Operation::Add(1),
            Operation::Add(-2),
            Operation::Set(7),
            Operation::GetCount,
            Operation::RemoveAndGet,
        ];
        assert_eq!(operations, expected);
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let wrong = [
            "{\"name\":\"a\",\"value\":1}",
            "{\"name\":\"a\",\"op\":\"get\",\"by\":1}",
            "{\"name\":\"a\",\"op\":\"set\"}",
            "{\"name\":\"a\",\"by\":null}",
            "{\"by\":1}",
            "{\"name\":\"a\",\"by\":1.5}",
            "{\"name\":\"a\",\"by\":9223372036854775808}",
            "{\"name\":\"a\",\"other\":1}",
            "x",
        ];
        for wrong in wrong {
            let problem = parse(format!("{{\"name\":\"a\"}}\n{wrong}").as_bytes()).unwrap_err();
            assert!(problem.to_json()["detail"].as_str().unwrap().starts_with("line 2: "), "{wrong}");
        }
    }
}
