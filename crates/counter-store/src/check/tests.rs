use super::*;
use crate::header::tests::IDENTITY;

const ROUND: Flags = Flags::FIRST.and(Flags::COMMIT);
const COMPLETE: Flags = ROUND.and(Flags::COMPLETE);

/// Writes a chain of frames without payloads, whose checksums are made up.
struct Writer {
    check: LogCheck,
    last: Tip,
    checksum: u64,
}

impl Writer {
    fn new(snapshot: Option<Span>, watermark: Option<Tip>) -> Self {
        let watermark = watermark.map(|durable| Watermark { store: IDENTITY.store, writes: 1, durable });
        Self { check: LogCheck::new(snapshot, watermark), last: Tip::default(), checksum: 100 }
    }

    fn segment(&mut self, number: u64, after: Tip) {
        self.check.header(number, &Header { identity: IDENTITY, incarnation: 1, after });
        self.last = after;
    }

    /// Returns the next frame, which is not shown to the check.
    fn skip(&mut self, flags: Flags, durable: u64) -> Frame<'static> {
        self.checksum += 1;
        let before = self.last;
        self.last = Tip { sequence: before.sequence + 1, checksum: self.checksum };
        let Tip { sequence, checksum } = self.last;
        Frame { flags, sequence, durable, predecessor: before.checksum, payload: &[], checksum }
    }

    fn frame(&mut self, flags: Flags, durable: u64) -> Tip {
        let frame = self.skip(flags, durable);
        self.check.frame(&frame);
        frame.tip()
    }

    fn finish(self) -> Verdict {
        self.check.finish()
    }
}

#[test]
fn a_round_whose_sync_failed_is_void_once_the_next_segment_goes_back_behind_it() {
    let mut log = Writer::new(None, None);
    log.segment(1, Tip::default());
    let first = log.frame(COMPLETE, 0);
    let second = log.frame(ROUND, 1);
    // The sync of the third failed, and so did that of a fourth in its place, which held the whole state.
    log.frame(ROUND, 2);
    log.segment(2, second);
    log.frame(COMPLETE, 2);
    log.segment(3, second);
    let replacement = log.frame(ROUND, 2);
    let Verdict { plan, damage, greatest } = log.finish();
    assert_eq!((plan.end, damage, greatest), (replacement, None, 3));
    assert_eq!(plan.base, Base::Round { first: first.sequence, segment: 1 });
    let counts = [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3)].map(|(segment, n)| plan.has(segment, n));
    assert_eq!(counts, [true, true, false, false, true]);
}

#[test]
fn a_round_that_was_begun_again_counts_once() {
    let mut log = Writer::new(None, None);
    log.segment(1, Tip::default());
    log.frame(COMPLETE, 0);
    log.frame(Flags::FIRST, 1);
    log.frame(Flags::NONE, 1);
    log.frame(Flags::FIRST, 1);
    let end = log.frame(Flags::COMMIT, 1);
    log.frame(Flags::FIRST, 5);
    let Verdict { plan, damage, .. } = log.finish();
    assert_eq!((plan.end, damage), (end, None));
    assert_eq!([1, 2, 3, 4, 5, 6].map(|n| plan.has(1, n)), [true, false, false, true, true, false]);
}

#[test]
fn a_frame_behind_a_hole_is_a_loss_exactly_if_the_hole_was_durable() {
    for (durable, is_loss) in [(1, false), (2, true)] {
        let mut log = Writer::new(None, None);
        log.segment(1, Tip::default());
        let end = log.frame(COMPLETE, 0);
        log.skip(ROUND, 1);
        log.check.hole();
        log.frame(ROUND, durable);
        let Verdict { plan, damage, .. } = log.finish();
        assert_eq!(plan.end, end);
        assert_eq!(damage, is_loss.then_some(Damage::Hole { segment: 1, sequence: 2 }));
    }
}

#[test]
fn a_segment_that_continues_what_is_not_there_is_a_loss_until_a_complete_round() {
    let mut log = Writer::new(None, None);
    log.segment(1, Tip::default());
    let end = log.frame(COMPLETE, 0);
    let missing = log.skip(ROUND, 1).tip();
    log.segment(2, missing);
    log.frame(ROUND, 2);
    let damage = log.check.damage.clone();
    assert_eq!(damage, Some(Damage::Missing { after: end.sequence, before: 3 }));
    assert_eq!(log.check.salvage.as_ref().map(|plan| plan.end), Some(end));
    let complete = log.frame(COMPLETE, 3);
    let Verdict { plan, damage, .. } = log.finish();
    assert_eq!((plan.end, damage), (complete, None));
    assert_eq!(plan.base, Base::Round { first: 4, segment: 2 });
}

#[test]
fn a_log_that_does_not_reach_what_was_durable_or_is_another_one_is_refused() {
    for (rounds, checksum, expected) in [
        (1, 102, Some(Damage::EndsEarly { end: 1, needed: 2, by: "watermark" })),
        (3, 7, Some(Damage::OtherChain { sequence: 2 })),
        (3, 102, None),
    ] {
        let mut log = Writer::new(None, Some(Tip { sequence: 2, checksum }));
        log.segment(1, Tip::default());
        (0..rounds).for_each(|n| _ = log.frame(ROUND, n));
        assert_eq!(log.finish().damage, expected);
    }
}

#[test]
fn a_snapshot_needs_the_log_through_its_end_and_nothing_before_its_start() {
    let start = Tip { sequence: 5, checksum: 50 };
    for (rounds, is_enough) in [(1, false), (2, true)] {
        let span = Span { identity: IDENTITY, start, end: 7 };
        let mut log = Writer::new(Some(span), None);
        // A segment from before that is no longer complete.
        log.segment(1, Tip { sequence: 2, checksum: 20 });
        log.check.hole();
        log.segment(2, start);
        (0..rounds).for_each(|n| _ = log.frame(ROUND, 5 + n));
        let Verdict { plan, damage, .. } = log.finish();
        assert_eq!(damage.is_none(), is_enough, "{damage:?}");
        assert_eq!([3, 5, 6].map(|n| plan.has(2, n)), [false, false, true]);
    }
}
