/// Ensures that collections do not overlap: at most one runs, and at most one more is due after it.
///
/// Collections are numbered from 1. A caller that needs a collection which begins after a certain moment asks for its
/// number, and waits until that number has ended. Any number of callers can wait for one collection, and nothing
/// queues here.
#[derive(Debug, Default)]
pub struct Schedule {
    begun: u64,
    ended: u64,
    wanted: u64,
}

impl Schedule {
    /// Begins a collection unless one is running. Returns true if it has to begin now.
    #[must_use]
    pub const fn begin_unless_running(&mut self) -> bool {
        let idle = self.begun == self.ended;
        if idle {
            self.begun += 1;
        }
        idle
    }

    /// Requests a collection that begins from now on. Returns its number, and true if it has to begin now.
    #[must_use]
    pub const fn request(&mut self) -> (u64, bool) {
        if self.begin_unless_running() {
            (self.begun, true)
        } else {
            self.wanted = self.begun + 1;
            (self.wanted, false)
        }
    }

    /// Records that the running collection, if any, was lost with the actor. Returns true if another has to begin in
    /// its place.
    #[must_use]
    pub const fn resume(&mut self) -> bool {
        let lost = self.begun != self.ended;
        self.ended = self.begun;
        lost && self.begin_unless_running()
    }

    /// Records that the running collection has ended. Returns its number, and true if the next one has to begin now.
    #[must_use]
    pub const fn end(&mut self) -> (u64, bool) {
        self.ended = self.begun;
        let next = self.wanted > self.begun && self.begin_unless_running();
        (self.ended, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_never_overlap() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin_unless_running());
        assert!(!schedule.begin_unless_running());
        assert_eq!(schedule.end(), (1, false));
        assert!(schedule.begin_unless_running());
        assert_eq!(schedule.end(), (2, false));
    }

    #[test]
    fn a_request_is_not_served_by_a_collection_that_runs_already() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.request(), (1, true));
        assert_eq!(schedule.request(), (2, false));
        assert_eq!(schedule.end(), (1, true));
        assert_eq!(schedule.end(), (2, false));
    }

    #[test]
    fn a_lost_collection_is_made_good_by_the_next() {
        let mut schedule = Schedule::default();
        assert!(!schedule.resume());
        assert_eq!(schedule.request(), (1, true));
        assert_eq!(schedule.request(), (2, false));
        assert!(schedule.resume());
        assert_eq!(schedule.end(), (2, false), "good for those who wait for 1 and for 2");
    }

    #[test]
    fn many_requests_share_one_collection() {
        let mut schedule = Schedule::default();
        assert!(schedule.begin_unless_running());
        for _ in 0..1_000 {
            assert_eq!(schedule.request(), (2, false));
        }
        assert_eq!(schedule.end(), (1, true));
        assert_eq!(schedule.end(), (2, false));
    }
}
