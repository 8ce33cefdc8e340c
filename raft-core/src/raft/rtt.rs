//! How long an answer takes, and so when a lack of one means a loss (after RFC 6298, in integers).

use crate::config::Config;
use crate::types::Span;

/// Repeated timeouts wait twice as long each, this often.
const DOUBLINGS_MAX: u32 = 6;

/// Smoothed round trips to one peer, its disk included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    /// Zero before the first measurement.
    smoothed: Span,
    variation: Span,
    timeouts: u32,
}

impl RoundTrip {
    /// Takes the time between a message that was sent once and its answer.
    pub(crate) fn measure(&mut self, sample: Span) {
        if self.smoothed == Span(0) {
            self.smoothed = Span(sample.0.max(1));
            self.variation = Span(sample.0 / 2);
            return;
        }
        let off = sample.0.abs_diff(self.smoothed.0);
        self.variation = Span((3 * self.variation.0 + off) / 4);
        self.smoothed = Span(((7 * self.smoothed.0 + sample.0) / 8).max(1));
    }

    /// An answer came that was news.
    pub(crate) fn handle_progress(&mut self) {
        self.timeouts = 0;
    }

    /// No answer came in time.
    pub(crate) fn handle_timeout(&mut self) {
        self.timeouts = (self.timeouts + 1).min(DOUBLINGS_MAX);
    }

    /// How old an append must be before a gap that the peer names means that it is lost: the usual round trip.
    pub(crate) fn gap_age(&self, config: &Config) -> Span {
        // Without any wait each of many answers about one gap would have all of it sent again.
        if self.smoothed == Span(0) { config.retransmit_min.max(Span(1)) } else { self.smoothed }
    }

    /// What is not answered in this time is taken for lost: twice the usual time, or more where it varies, between
    /// `retransmit_min` and `retransmit_after`, which also stands while nothing is known.
    pub(crate) fn timeout(&self, config: &Config) -> Span {
        if self.smoothed == Span(0) {
            return config.retransmit_after;
        }
        let usual = (2 * self.smoothed.0).max(self.smoothed.0 + 4 * self.variation.0);
        let longest = config.retransmit_after.0.max(usual);
        Span((usual.max(config.retransmit_min.0) << self.timeouts).min(longest.max(config.retransmit_min.0)))
    }
}
