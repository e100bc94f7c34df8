//! Options of `SET`, `EXPIRE` and `INCREX`.

use counter_keyspace::{DeadlineChange, DeadlineCondition, Operation, Presence};

use super::super::commands::{Kind, Spec};
use super::super::decode::Request;
use super::super::encode::Reply;
use super::super::shape::Shape;
use super::{Refusal, SYNTAX, fixed, number};

/// Milliseconds of a second.
const SECOND_MS: i64 = 1000;

/// Way to state a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    unit_ms: i64,
    is_absolute: bool,
}

impl Time {
    pub(super) const SECONDS: Self = Self { unit_ms: SECOND_MS, is_absolute: false };
    const MILLISECONDS: Self = Self { unit_ms: 1, is_absolute: false };
    const AT_SECONDS: Self = Self { unit_ms: SECOND_MS, is_absolute: true };
    const AT_MILLISECONDS: Self = Self { unit_ms: 1, is_absolute: true };

    /// Returns the time that an option of this name states.
    fn of_option(option: &[u8]) -> Option<Self> {
        Some(match option {
            b"ex" => Self::SECONDS,
            b"px" => Self::MILLISECONDS,
            b"exat" => Self::AT_SECONDS,
            b"pxat" => Self::AT_MILLISECONDS,
            _ => return None,
        })
    }

    /// Returns the deadline of a time above 0.
    pub(super) fn positive(self, argument: &[u8], command: &str, now_ms: u64) -> Result<u64, Refusal> {
        let time = number(argument)?;
        if time <= 0 { Err(invalid(command)) } else { self.deadline(time, command, now_ms) }
    }

    /// Returns the deadline of a time, which may be in the past.
    fn deadline(self, time: i64, command: &str, now_ms: u64) -> Result<u64, Refusal> {
        let base = if self.is_absolute { 0 } else { i64::try_from(now_ms).unwrap_or(i64::MAX) };
        let deadline = time.checked_mul(self.unit_ms).and_then(|time_ms| time_ms.checked_add(base));
        let deadline = deadline.ok_or_else(|| invalid(command))?;
        // What is before the epoch has expired as well.
        Ok(u64::try_from(deadline).unwrap_or(0))
    }
}

fn invalid(command: &str) -> Refusal {
    Reply::error(format!("ERR invalid expire time in '{command}' command"))
}

/// Parses `SET name value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
pub(super) fn set(request: &Request<'_>, now_ms: u64) -> Result<(Shape, Operation), Refusal> {
    let (mut presence, mut gets, mut keeps, mut time) = (Presence::Any, false, false, None);
    let mut options = request.arguments().skip(3);
    while let Some(option) = options.next() {
        let option = option.to_ascii_lowercase();
        match option.as_slice() {
            b"nx" if presence != Presence::Present => presence = Presence::Absent,
            b"xx" if presence != Presence::Absent => presence = Presence::Present,
            b"get" => gets = true,
            b"keepttl" if time.is_none() => keeps = true,
            option => match (Time::of_option(option), options.next()) {
                // The same option may come again, and the last one counts.
                (Some(kind), Some(argument)) if !keeps && time.is_none_or(|(same, _)| same == kind) => {
                    time = Some((kind, argument));
                }
                _ => return Err(SYNTAX),
            },
        }
    }
    let deadline = match time {
        Some((kind, argument)) => DeadlineChange::At(kind.positive(argument, "set", now_ms)?),
        None if keeps => DeadlineChange::Keep,
        None => DeadlineChange::Clear,
    };
    let value = number(request.get(2).unwrap_or_default())?;
    let shape = if gets { Shape::Value } else { Shape::Set(presence) };
    Ok((shape, Operation::SetIf { value, presence, deadline }))
}

/// Parses `EXPIRE name time [NX | XX | GT | LT]` and its like.
pub(super) fn expire(
    spec: &Spec,
    request: &Request<'_>,
    now_ms: u64,
) -> Result<(u64, DeadlineCondition), Refusal> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in request.arguments().skip(3) {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" => nx = true,
            b"xx" => xx = true,
            b"gt" => gt = true,
            b"lt" => lt = true,
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Reply::error(format!("ERR Unsupported option {option}")));
            }
        }
    }
    if nx && (xx || gt || lt) {
        return Err(fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
    }
    if gt && lt {
        return Err(fixed("ERR GT and LT options at the same time are not compatible"));
    }
    let condition = match (nx, xx, gt, lt) {
        (true, ..) => DeadlineCondition::None,
        (_, _, true, _) => DeadlineCondition::Earlier,
        (_, true, _, true) => DeadlineCondition::SomeLater,
        (_, _, _, true) => DeadlineCondition::Later,
        (_, true, ..) => DeadlineCondition::Some,
        _ => DeadlineCondition::Any,
    };
    let time = match spec.kind {
        Kind::PExpire => Time::MILLISECONDS,
        Kind::ExpireAt => Time::AT_SECONDS,
        Kind::PExpireAt => Time::AT_MILLISECONDS,
        _ => Time::SECONDS,
    };
    let argument = number(request.get(2).unwrap_or_default())?;
    Ok((time.deadline(argument, spec.name, now_ms)?, condition))
}

/// Parses `INCREX name [BYINT amount] [LBOUND min] [UBOUND max] [SATURATE] [EX s | PX ms | EXAT s | PXAT ms | PERSIST]
/// [ENX]`.
pub(super) fn add(request: &Request<'_>, now_ms: u64) -> Result<Operation, Refusal> {
    let (mut amount, mut min, mut max) = (None, None, None);
    let (mut saturates, mut persists, mut if_none, mut time) = (false, false, false, None);
    let mut options = request.arguments().skip(2);
    while let Some(option) = options.next() {
        let option = option.to_ascii_lowercase();
        let mut bound = |bound: &mut Option<i64>| match (bound.is_none(), options.next()) {
            (true, Some(argument)) => number(argument).map(|value| *bound = Some(value)),
            _ => Err(SYNTAX),
        };
        match option.as_slice() {
            b"byint" => bound(&mut amount)?,
            b"lbound" => bound(&mut min)?,
            b"ubound" => bound(&mut max)?,
            b"byfloat" => return Err(fixed("ERR counters are integers; use BYINT")),
            b"saturate" => saturates = true,
            b"persist" if time.is_none() => persists = true,
            b"enx" => if_none = true,
            option => match (Time::of_option(option), options.next()) {
                (Some(kind), Some(argument)) if time.is_none() && !persists => time = Some((kind, argument)),
                _ => return Err(SYNTAX),
            },
        }
    }
    let (min, max) = (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX));
    if min > max {
        return Err(fixed("ERR LBOUND is greater than UBOUND"));
    }
    let deadline = match time {
        Some((kind, argument)) => {
            let deadline_ms = kind.positive(argument, "increx", now_ms)?;
            if if_none { DeadlineChange::AtIfNone(deadline_ms) } else { DeadlineChange::At(deadline_ms) }
        }
        None if if_none => return Err(SYNTAX),
        None if persists => DeadlineChange::Clear,
        None => DeadlineChange::Keep,
    };
    Ok(Operation::AddWith { amount: amount.unwrap_or(1), min, max, saturates, deadline })
}
