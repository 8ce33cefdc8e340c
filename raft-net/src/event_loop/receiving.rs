//! Errors of receiving: all counted, few logged.

use raft_core::{Instant, Span};

/// A warning of this kind is given at most so often, however often receiving fails and works again.
const WARN_EVERY: Span = Span(60_000_000);

/// How receiving went so far.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// It failed the last time.
    is_failing: bool,
    warned: Option<Instant>,
    errors: u64,
}

impl Receiving {
    /// How often it failed.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    /// It works.
    pub(super) fn note_success(&mut self) {
        self.is_failing = false;
    }

    /// It failed. Returns whether to warn: a series of failures began, and the last warning is long ago.
    pub(super) fn note_failure(&mut self, now: Instant) -> bool {
        self.errors += 1;
        let begins = !std::mem::replace(&mut self.is_failing, true);
        let warns = begins && self.warned.is_none_or(|warned| warned.plus(WARN_EVERY) <= now);
        if warns {
            self.warned = Some(now);
        }
        warns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_failures_is_warned_of_once_and_a_flicker_once_a_minute() {
        let mut receiving = Receiving::default();
        let second = |second: u64| Instant(second * 1_000_000);
        let warnings = (0..1_000).filter(|_| receiving.note_failure(second(1))).count();
        assert_eq!((warnings, receiving.errors()), (1, 1_000), "one that lasts");
        assert!(!receiving.note_failure(second(100)), "however long it lasts");
        receiving.note_success();
        assert!(receiving.note_failure(second(101)), "another series, long after the last warning");
        let warnings = (0..3_000)
            .filter(|tenth| {
                receiving.note_success();
                receiving.note_failure(Instant(second(102).0 + tenth * 100_000))
            })
            .count();
        assert_eq!(warnings, 5, "five minutes of failures that come and go");
        assert_eq!(receiving.errors(), 4_002);
    }
}
