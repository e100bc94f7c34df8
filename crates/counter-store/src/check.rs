//! Decides which frames of a log count. Pure: it is shown what the files hold, in order.

use crate::error::Damage;
use crate::frame::{Flags, Frame, Tip};
use crate::header::{Header, Identity};
use crate::watermark::Watermark;

/// Where the state that a log leads to begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// With nothing.
    Empty,
    /// With a snapshot.
    Snapshot,
    /// With a round that holds the whole state, whose first frame has this sequence number and is in this segment or a
    /// later one.
    Round { first: u64, segment: u64 },
}

/// Frames that do not count, in this segment or an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Void {
    segment: u64,
    first: u64,
    last: u64,
}

/// The part of the log that a snapshot belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) identity: Identity,
    /// Last frame before the snapshot's first page.
    pub(crate) start: Tip,
    /// Last frame of the round that the log has to reach at least.
    pub(crate) end: u64,
}

/// The frames that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) base: Base,
    /// Last frame that counts.
    pub(crate) end: Tip,
    /// Identity of the store whose shards the state consists of. `None` without any state.
    pub(crate) identity: Option<Identity>,
    void: Vec<Void>,
    /// First frame that the base does not contain.
    first: u64,
}

impl Plan {
    /// Returns true if a frame of this segment is to be replayed.
    pub(crate) fn has(&self, segment: u64, sequence: u64) -> bool {
        let is_early = matches!(self.base, Base::Round { segment: from, .. } if segment < from);
        let is_void = |void: &Void| segment <= void.segment && (void.first..=void.last).contains(&sequence);
        (self.first..=self.end.sequence).contains(&sequence) && !is_early && !self.void.iter().any(is_void)
    }
}

/// Follows the chain of frames.
#[derive(Debug)]
pub(crate) struct LogCheck {
    snapshot: Option<Span>,
    watermark: Option<Watermark>,
    plan: Plan,
    segment: u64,
    identity: Option<Identity>,
    /// Last frame of the chain, if it has begun.
    last: Option<Tip>,
    /// The frames that counted before the last round.
    previous: Plan,
    /// First frame of a round that is not complete.
    open: Option<(u64, u64)>,
    /// Something behind the last frame in this segment cannot be read.
    has_hole: bool,
    damage: Option<Damage>,
    /// The frames that were provably consistent when the damage was found.
    salvage: Option<Plan>,
    /// Greatest sequence number that has been seen.
    greatest: u64,
    /// True if the frame that the watermark names was the same; `None` before it was read.
    watermark_agrees: Option<bool>,
}

/// Outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) plan: Plan,
    pub(crate) damage: Option<Damage>,
    /// Greatest sequence number that was ever used.
    pub(crate) greatest: u64,
}

impl LogCheck {
    pub(crate) fn new(snapshot: Option<Span>, watermark: Option<Watermark>) -> Self {
        let start = snapshot.map_or(Tip::default(), |span| span.start);
        let base = if snapshot.is_some() { Base::Snapshot } else { Base::Empty };
        let identity = snapshot.map(|span| span.identity);
        let plan = Plan { base, end: start, identity, void: Vec::new(), first: start.sequence + 1 };
        let greatest = watermark.map_or(0, |watermark| watermark.durable.sequence).max(start.sequence);
        Self {
            snapshot,
            watermark,
            previous: plan.clone(),
            plan,
            segment: 0,
            identity,
            last: None,
            open: None,
            has_hole: false,
            damage: None,
            salvage: None,
            greatest,
            watermark_agrees: None,
        }
    }

    /// Enters a segment whose header can be read.
    pub(crate) fn header(&mut self, segment: u64, header: &Header) {
        self.segment = segment;
        self.has_hole = false;
        self.identity = Some(header.identity);
        let after = header.after;
        if self.snapshot.is_some_and(|span| span.start == after) && self.plan.base == Base::Snapshot {
            // Whatever was before is in the snapshot.
            self.rewind_to(after);
            self.damage = None;
            self.salvage = None;
        } else if self.last == Some(after) {
            // A round goes on in the next segment.
        } else if self.last.is_some() && after == self.plan.end {
            self.rewind_to(after);
        } else if self.last.is_some() && after == self.previous.end {
            // The last round was written, but its sync failed: it has been written again.
            self.plan = self.previous.clone();
            self.rewind_to(after);
        } else if self.last.is_none() && after.sequence <= self.plan.end.sequence {
            // The base contains all before.
            self.last = Some(after);
        } else {
            self.damaged(Damage::Missing { after: self.last_sequence(), before: after.sequence + 1 });
            self.last = Some(after);
            self.open = None;
        }
    }

    /// Enters a segment whose header cannot be read. It counts only by what it proves.
    pub(crate) fn unreadable_header(&mut self, segment: u64) {
        self.segment = segment;
        self.has_hole = true;
    }

    /// Takes the next frame that can be read in the segment, behind a hole or not.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>) {
        self.greatest = self.greatest.max(frame.sequence);
        let continues = !self.has_hole && self.last.is_none_or(|last| last == frame.before());
        if !continues {
            self.hole();
            let lost = self.last_sequence() + 1;
            // What is void has been given up before: it proves nothing.
            if frame.durable >= lost {
                self.damaged(Damage::Hole { segment: self.segment, sequence: lost });
            }
            return;
        }
        self.compare(frame.tip());
        if frame.flags.has(Flags::FIRST) {
            self.void_open();
            self.open = Some((frame.sequence, self.segment));
        }
        self.last = Some(frame.tip());
        if frame.flags.has(Flags::COMMIT) {
            self.commit(frame);
        }
    }

    /// Notes that the segment holds something behind its last frame that cannot be read.
    pub(crate) const fn hole(&mut self) {
        self.has_hole = true;
    }

    /// Ends the log.
    pub(crate) fn finish(mut self) -> Verdict {
        if self.damage.is_none() {
            self.check_end();
        }
        let Self { damage, salvage, mut plan, greatest, .. } = self;
        if damage.is_some() {
            plan = salvage.unwrap_or(plan);
        }
        Verdict { plan, damage, greatest }
    }

    fn commit(&mut self, frame: &Frame<'_>) {
        let (Some((first, segment)), Some(identity)) = (self.open.take(), self.identity) else {
            return self.damaged(Damage::Hole { segment: self.segment, sequence: frame.sequence });
        };
        self.previous.clone_from(&self.plan);
        if frame.flags.has(Flags::COMPLETE) {
            let is_newer = self.snapshot.is_none_or(|span| first > span.start.sequence);
            if is_newer {
                self.plan.base = Base::Round { first, segment };
                self.plan.first = first;
                self.plan.identity = self.identity;
                self.plan.void.retain(|void| void.last >= first);
                self.damage = None;
                self.salvage = None;
                self.watermark_agrees = self.watermark_agrees.filter(|_| self.watermark_sequence() >= first);
            }
        }
        self.plan.end = frame.tip();
        if *self.plan.identity.get_or_insert(identity) != identity {
            self.damaged(Damage::OtherShards { segment: self.segment });
        }
    }

    fn check_end(&mut self) {
        let end = self.plan.end.sequence;
        if let Some(Span { end: needed, .. }) = self.snapshot.filter(|_| self.plan.base == Base::Snapshot)
            && end < needed
        {
            self.damaged(Damage::EndsEarly { end, needed, by: "snapshot" });
        }
        let needed = self.watermark_sequence();
        if end < needed {
            self.damaged(Damage::EndsEarly { end, needed, by: "watermark" });
        } else if self.watermark_agrees == Some(false) {
            self.damaged(Damage::OtherChain { sequence: needed });
        }
    }

    fn compare(&mut self, tip: Tip) {
        if let Some(watermark) = self.watermark
            && watermark.durable.sequence == tip.sequence
        {
            self.watermark_agrees = Some(watermark.durable == tip);
        }
    }

    fn watermark_sequence(&self) -> u64 {
        self.watermark.map_or(0, |watermark| watermark.durable.sequence)
    }

    fn damaged(&mut self, damage: Damage) {
        if self.damage.is_none() {
            self.damage = Some(damage);
            self.salvage = Some(self.plan.clone());
        }
    }

    /// Gives up what was read beyond a place.
    fn rewind_to(&mut self, after: Tip) {
        let read = self.last_sequence();
        if read > after.sequence {
            let void = Void { segment: self.segment - 1, first: after.sequence + 1, last: read };
            self.plan.void.push(void);
        }
        self.open = None;
        self.last = Some(after);
        self.plan.end = after;
    }

    /// Gives up the chunks of a round that has been begun again.
    fn void_open(&mut self) {
        if let Some((first, _)) = self.open.take() {
            let void = Void { segment: self.segment, first, last: self.last_sequence() };
            self.plan.void.push(void);
        }
    }

    fn last_sequence(&self) -> u64 {
        self.last.map_or(self.plan.end.sequence, |last| last.sequence)
    }
}

#[cfg(test)]
mod tests;
