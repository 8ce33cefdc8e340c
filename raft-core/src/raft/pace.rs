//! How many appends may be under way to one peer: what the path there carries. Where a link is slower than its leader,
//! what does not fit into its queue is lost, and sending that again at once fills the queue: what comes next is lost, and
//! nothing whole arrives any more (congestion collapse: Jacobson 1988, RFC 2914 §5).

use crate::types::Instant;

/// Amounts are counted in parts of an append.
const APPEND: u64 = 1_024;
/// An append that arrived lets so much more be under way, as a part of what is. Faster than [`Budget`](super::budget::Budget)
/// grows, since what halves it is rarer: where one in five is lost by chance, one append in 600 is with its three repeats.
const GROWTH_PART: u64 = 8;

/// The appends under way to one peer: halved where one is lost with all its repeats, grown back by what arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    parts: u64,
    /// What left before this was lost for the reason that it was halved for last.
    halved_at: Instant,
}

impl Default for Pace {
    /// Without a bound of its own, as long as nothing was lost with its repeats.
    fn default() -> Pace {
        Pace { parts: u64::MAX, halved_at: Instant(0) }
    }
}

impl Pace {
    /// How many appends may be under way now, where the settings allow so many.
    pub(crate) fn appends(&self, appends_max: usize) -> usize {
        usize::try_from(self.parts / APPEND).unwrap_or(usize::MAX).min(appends_max)
    }

    /// An append that was sent again and again, at `sent_at` last, is lost, while so many were under way.
    pub(crate) fn handle_repeats_lost(&mut self, sent_at: Instant, under_way: usize, now: Instant) {
        if sent_at >= self.halved_at {
            let parts = (under_way as u64).saturating_mul(APPEND).min(self.parts);
            self.parts = (parts / 2).max(APPEND);
            self.halved_at = now;
        }
    }

    /// An append arrived while so many were under way. Few of them do not tell that the bound is low.
    pub(crate) fn handle_arrival(&mut self, under_way: usize) {
        let parts = (under_way as u64).saturating_mul(APPEND);
        if parts >= self.parts / 2 {
            self.parts = self.parts.saturating_add(parts / GROWTH_PART);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64;

    #[test]
    fn what_is_lost_with_its_repeats_halves_it_to_one() {
        let mut pace = Pace::default();
        assert_eq!(pace.appends(MAX), MAX);
        let seen: alloc::vec::Vec<usize> = (1..=7)
            .map(|at| {
                pace.handle_repeats_lost(Instant(at), pace.appends(MAX), Instant(at + 1));
                pace.appends(MAX)
            })
            .collect();
        assert_eq!(seen, [32, 16, 8, 4, 2, 1, 1]);
    }

    /// A full queue loses many at once: they tell one thing.
    #[test]
    fn what_left_before_it_was_halved_halves_it_no_more() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.handle_repeats_lost(Instant(5), 40, Instant(9));
        }
        assert_eq!(pace.appends(MAX), 20);
    }

    #[test]
    fn arrivals_grow_it_back() {
        let mut pace = Pace::default();
        pace.handle_repeats_lost(Instant(0), 2, Instant(1));
        let mut arrivals = 0;
        while pace.appends(MAX) < MAX {
            pace.handle_arrival(pace.appends(MAX));
            arrivals += 1;
        }
        assert_eq!(arrivals, 39, "within some round trips");
    }

    #[test]
    fn few_under_way_do_not_grow_it() {
        let mut pace = Pace::default();
        pace.handle_repeats_lost(Instant(0), 32, Instant(1));
        for _ in 0..1_000 {
            pace.handle_arrival(2);
        }
        assert_eq!(pace.appends(MAX), 16);
    }
}
