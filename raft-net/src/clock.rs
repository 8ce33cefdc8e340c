//! The monotonic clock of a node, in the core's unit.

use std::time::Duration;

use raft_core::Instant;

/// Microseconds since the node's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant(micros(self.0.elapsed()))
    }

    /// When the clock will show this.
    pub(crate) fn when(self, shown: Instant) -> tokio::time::Instant {
        /// Far enough to be never, near enough to be added to any time.
        const NEVER: u64 = 365 * 24 * 3_600 * 1_000_000;
        let span = shown.0.min(self.now().0.saturating_add(NEVER));
        tokio::time::Instant::from_std(self.0 + Duration::from_micros(span))
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
