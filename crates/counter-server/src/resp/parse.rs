//! From the arguments of a request to a command. Pure; the texts of errors are those of Redis.

mod connection;
mod options;

use counter_keyspace::{DeadlineChange, DeadlineCondition, Operation, Presence, SessionId};
use counter_protocol::NameTooLong;

use super::batch::Batch;
use super::commands::{self, Kind, Spec};
use super::decode::{Request, integer};
use super::encode::Reply;
use super::query::{Query, ScanQuery};
use super::shape::Shape;
use crate::counters::{InvalidPositions, Positions, SessionToken};

pub(crate) use connection::{ConnectionCommand, ReplyMode};

/// Length of what an error shows of an unknown command, as in Redis.
const SHOWN_BYTES: usize = 128;

/// Parsed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Operations, of which there are so many, that have been appended to the batch.
    Counters(Shape, usize),
    /// Question that is not about single counters, or that waits.
    Query(Box<Query>),
    /// Command about the connection.
    Connection(Box<ConnectionCommand>),
    /// Command whose reply is known.
    Reply(Reply),
}

/// Error of a command, as a reply.
pub(crate) type Refusal = Reply;

pub(super) const NOT_AN_INTEGER: Reply = fixed("ERR value is not an integer or out of range");
pub(super) const SYNTAX: Reply = fixed("ERR syntax error");

const fn fixed(text: &'static str) -> Reply {
    Reply::Error(std::borrow::Cow::Borrowed(text))
}

/// Finds the command of a request, and checks its subcommand and the number of its arguments.
pub(crate) fn spec_of(request: &Request<'_>) -> Result<&'static Spec, Refusal> {
    let name = request.get(0).unwrap_or_default();
    let spec = Spec::find(name).ok_or_else(|| unknown(request))?;
    if !commands::accepts(spec.arity, request.len()) {
        return Err(wrong_number(spec.name));
    }
    match request.get(1) {
        Some(name) if spec.has_subcommands() => {
            let (subcommand, arity) = commands::find_subcommand(spec.kind, name).ok_or_else(|| {
                let shown = String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES)]);
                let command = spec.name.to_ascii_uppercase();
                Reply::error(format!("ERR unknown subcommand '{shown}'. Try {command} HELP."))
            })?;
            let is_right = commands::accepts(arity, request.len());
            if is_right { Ok(spec) } else { Err(wrong_number(&format!("{}|{subcommand}", spec.name))) }
        }
        _ => Ok(spec),
    }
}

/// Parses a request, appending operations to the batch.
pub(crate) fn parse(
    spec: &Spec,
    request: &Request<'_>,
    now_ms: u64,
    batch: &mut Batch,
) -> Result<Command, Refusal> {
    let argument = |index| request.get(index).unwrap_or_default();
    let name = argument(1);
    let mut one = |shape, operation| push(batch, name, operation).map(|()| Command::Counters(shape, 1));
    match spec.kind {
        Kind::Incr => one(Shape::Integer, Operation::Add(1)),
        Kind::Get => one(Shape::Value, Operation::Get),
        Kind::IncrBy => one(Shape::Integer, Operation::Add(number(argument(2))?)),
        Kind::Decr => one(Shape::Integer, Operation::Add(-1)),
        Kind::DecrBy => {
            let amount = number(argument(2))?.checked_neg().ok_or(fixed("ERR decrement would overflow"))?;
            one(Shape::Integer, Operation::Add(amount))
        }
        Kind::Type => one(Shape::Type, Operation::Get),
        Kind::GetDel => one(Shape::Value, Operation::RemoveAndGet),
        Kind::GetSet => one(Shape::Value, Operation::GetAndSet(number(argument(2))?)),
        Kind::Persist => one(Shape::Persisted, Operation::Persist),
        Kind::Ttl => one(Shape::Seconds, Operation::Ttl),
        Kind::PTtl => one(Shape::Milliseconds, Operation::Ttl),
        Kind::SetNx => {
            let (value, presence, deadline) = (number(argument(2))?, Presence::Absent, DeadlineChange::Clear);
            one(Shape::SetIfAbsent, Operation::SetIf { value, presence, deadline })
        }
        Kind::SetEx => {
            let deadline = options::Time::SECONDS.positive(argument(2), spec.name, now_ms)?;
            let (value, presence) = (number(argument(3))?, Presence::Any);
            let deadline = DeadlineChange::At(deadline);
            one(Shape::Set(presence), Operation::SetIf { value, presence, deadline })
        }
        Kind::Set => options::set(request, now_ms).and_then(|(shape, operation)| one(shape, operation)),
        Kind::IncrEx => options::add(request, now_ms).and_then(|operation| one(Shape::Added, operation)),
        Kind::Expire | Kind::PExpire | Kind::ExpireAt | Kind::PExpireAt => {
            let (deadline_ms, condition) = options::expire(spec, request, now_ms)?;
            let operation = match condition {
                DeadlineCondition::Any => Operation::Expire(deadline_ms),
                _ => Operation::ExpireIf { deadline_ms, condition },
            };
            one(Shape::Expired { deadline_ms, condition }, operation)
        }
        Kind::MGet => each(request, batch, Shape::Values, Operation::Get),
        Kind::Exists => each(request, batch, Shape::Existing, Operation::Get),
        Kind::Del | Kind::Unlink => each(request, batch, Shape::Existing, Operation::RemoveAndGet),
        Kind::Scan
        | Kind::DbSize
        | Kind::FlushAll
        | Kind::FlushDb
        | Kind::Wait
        | Kind::WaitAof
        | Kind::Info
        | Kind::CountSession
        | Kind::CountAdd
        | Kind::CountTop
        | Kind::CountStats
        | Kind::CountLag
        | Kind::CountWritten
        | Kind::CountAwait => query(spec.kind, request).map(|query| Command::Query(Box::new(query))),
        _ => connection::parse(spec, request),
    }
}

/// Appends the same operation on each name.
fn each(
    request: &Request<'_>,
    batch: &mut Batch,
    shape: Shape,
    operation: Operation,
) -> Result<Command, Refusal> {
    request.arguments().skip(1).try_for_each(|name| push(batch, name, operation))?;
    Ok(Command::Counters(shape, request.len() - 1))
}

fn push(batch: &mut Batch, name: &[u8], operation: Operation) -> Result<(), Refusal> {
    batch.push(name, operation).map_err(|error: NameTooLong| Reply::error(format!("ERR {error}")))
}

fn query(kind: Kind, request: &Request<'_>) -> Result<Query, Refusal> {
    let argument = |index| request.get(index).unwrap_or_default();
    Ok(match kind {
        Kind::Scan => Query::Scan(scan(request)?),
        Kind::DbSize => Query::Size,
        Kind::FlushAll | Kind::FlushDb => match request.get(1).map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"sync" | b"async") if request.len() <= 2 => Query::RemoveAll,
            _ => return Err(SYNTAX),
        },
        Kind::Wait => Query::WaitReceived { copies: number(argument(1))?, timeout_ms: timeout(argument(2))? },
        Kind::WaitAof => {
            let on_disk = number(argument(1))?;
            if !(0..=1).contains(&on_disk) {
                return Err(fixed("ERR value is out of range, value must between 0 and 1"));
            }
            let copies = number(argument(2))?;
            if copies < 0 {
                return Err(fixed("ERR value is out of range, must be positive"));
            }
            Query::WaitCommitted { on_disk: on_disk == 1, copies, timeout_ms: timeout(argument(3))? }
        }
        Kind::Info => Query::Info,
        Kind::CountSession => session(request)?,
        Kind::CountAdd => add_in_session(request)?,
        Kind::CountTop => Query::Top(usize::try_from(number(argument(1))?).map_err(|_| NOT_AN_INTEGER)?),
        Kind::CountLag => Query::Lag,
        Kind::CountWritten => Query::Written,
        Kind::CountAwait => await_positions(request)?,
        _ => Query::Stats,
    })
}

fn scan(request: &Request<'_>) -> Result<ScanQuery, Refusal> {
    let cursor = match request.get(1) {
        // As in Redis.
        Some(b"") => Some(0),
        cursor => cursor.and_then(|cursor| str::from_utf8(cursor).ok()?.parse().ok()),
    };
    let mut query = ScanQuery { cursor: cursor.ok_or(fixed("ERR invalid cursor"))?, ..ScanQuery::default() };
    let mut options = request.arguments().skip(2);
    while let Some(option) = options.next() {
        let value = options.next().ok_or(SYNTAX)?;
        match option.to_ascii_lowercase().as_slice() {
            b"match" => query.pattern = Some(value.to_vec()),
            b"count" => match usize::try_from(number(value)?) {
                Ok(count @ 1..) => query.count = count,
                Ok(_) | Err(_) => return Err(SYNTAX),
            },
            b"type" => query.is_of_other_type = !value.eq_ignore_ascii_case(b"string"),
            _ => return Err(SYNTAX),
        }
    }
    Ok(query)
}

fn await_positions(request: &Request<'_>) -> Result<Query, Refusal> {
    let timeout_ms = timeout(request.get(1).unwrap_or_default())?;
    let mut positions = Positions::default();
    for argument in request.arguments().skip(2) {
        let some = str::from_utf8(argument).map_err(|_| InvalidPositions).and_then(str::parse);
        positions.merge(&some.map_err(|error: InvalidPositions| Reply::error(format!("ERR {error}")))?);
    }
    Ok(Query::Await { positions, timeout_ms })
}

fn session(request: &Request<'_>) -> Result<Query, Refusal> {
    match (request.len(), request.get(1)) {
        (1, _) => Ok(Query::OpenSession),
        (3, Some(close)) if close.eq_ignore_ascii_case(b"close") => {
            Ok(Query::CloseSession(session_id(request.get(2))?))
        }
        _ => Err(SYNTAX),
    }
}

fn session_id(argument: Option<&[u8]>) -> Result<SessionId, Refusal> {
    let token = argument.and_then(|text| str::from_utf8(text).ok()?.parse().ok());
    token.map(|SessionToken(id)| id).ok_or(fixed("ERR invalid session"))
}

fn add_in_session(request: &Request<'_>) -> Result<Query, Refusal> {
    if request.len().is_multiple_of(2) {
        return Err(wrong_number("count.add"));
    }
    let session = session_id(request.get(1))?;
    let sequence = request.get(2).and_then(integer).and_then(|sequence| u64::try_from(sequence).ok());
    let (sequence, mut batch) = (sequence.ok_or(fixed("ERR invalid sequence number"))?, Batch::default());
    let mut arguments = request.arguments().skip(3);
    while let (Some(name), Some(amount)) = (arguments.next(), arguments.next()) {
        push(&mut batch, name, Operation::Add(number(amount)?))?;
    }
    Ok(Query::AddInSession { session, sequence, batch })
}

pub(super) fn number(argument: &[u8]) -> Result<i64, Refusal> {
    integer(argument).ok_or(NOT_AN_INTEGER)
}

fn timeout(argument: &[u8]) -> Result<u64, Refusal> {
    let timeout = integer(argument).ok_or(fixed("ERR timeout is not an integer or out of range"))?;
    u64::try_from(timeout).map_err(|_| fixed("ERR timeout is negative"))
}

fn wrong_number(name: &str) -> Refusal {
    Reply::error(format!("ERR wrong number of arguments for '{name}' command"))
}

/// Returns the error of a command that does not exist, with as much of it as Redis shows.
fn unknown(request: &Request<'_>) -> Refusal {
    let show = |bytes: &[u8], most: usize| {
        // Redis prints text up to a zero.
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(&text[..text.len().min(most)]).into_owned()
    };
    let mut arguments = String::new();
    for argument in request.arguments().skip(1) {
        if arguments.len() >= SHOWN_BYTES {
            break;
        }
        arguments += &format!("'{}' ", show(argument, SHOWN_BYTES - arguments.len()));
    }
    let name = show(request.get(0).unwrap_or_default(), SHOWN_BYTES);
    Reply::error(format!("ERR unknown command '{name}', with args beginning with: {arguments}"))
}
