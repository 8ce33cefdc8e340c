//! How much one append may carry. A message goes out as several datagrams and is lost with any of them, so where
//! losses repeat, a long append hardly ever arrives whole.

/// What a lost append shrinks to at least: about one datagram. Less would not arrive any sooner.
pub(crate) const FLOOR_BYTES: u64 = 1_024;

/// An append that arrived lets the next ones grow by this part of it. Growth and halving are in balance where about
/// one append in 23 is lost (the 22nd power of 33/32 is 2), whatever the loss of a single datagram.
const GROWTH_PART: u64 = 32;

/// The bytes of entries in one append to one peer: halved by a loss, grown back slowly by what arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    bytes: u64,
}

impl Default for Budget {
    /// Without a bound of its own, as long as nothing was lost.
    fn default() -> Budget {
        Budget { bytes: u64::MAX }
    }
}

impl Budget {
    /// The bound now, where the settings allow so much.
    pub(crate) fn bytes(&self, bytes_max: u64) -> u64 {
        self.bytes.min(bytes_max)
    }

    /// An append of so many bytes was lost. One of about a datagram tells nothing: it can't be made any safer.
    pub(crate) fn handle_loss(&mut self, bytes: u64) {
        if bytes > FLOOR_BYTES {
            self.bytes = self.bytes.min(bytes / 2).max(FLOOR_BYTES);
        }
    }

    /// An append of so many bytes arrived. One far below the bound does not tell that the bound is low.
    pub(crate) fn handle_arrival(&mut self, bytes: u64) {
        if bytes >= self.bytes / 2 {
            self.bytes = self.bytes.saturating_add(bytes / GROWTH_PART);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 64 << 10;

    #[test]
    fn losses_halve_it_to_a_floor() {
        let mut budget = Budget::default();
        assert_eq!(budget.bytes(MAX), MAX);
        let mut seen = alloc::vec::Vec::new();
        for _ in 0..8 {
            budget.handle_loss(budget.bytes(MAX));
            seen.push(budget.bytes(MAX) >> 10);
        }
        assert_eq!(seen, [32, 16, 8, 4, 2, 1, 1, 1], "in KiB");
    }

    /// What was lost is what was too long, whatever the bound was.
    #[test]
    fn a_loss_halves_what_was_lost() {
        let mut budget = Budget::default();
        budget.handle_loss(6_000);
        assert_eq!(budget.bytes(MAX), 3_000);
        budget.handle_loss(20_000); // It left when the bound was higher.
        assert_eq!(budget.bytes(MAX), 3_000, "a loss never raises the bound");
    }

    #[test]
    fn the_loss_of_a_short_append_changes_nothing() {
        let mut budget = Budget::default();
        budget.handle_loss(FLOOR_BYTES);
        assert_eq!(budget.bytes(MAX), MAX);
    }

    #[test]
    fn arrivals_grow_it_back_and_short_ones_do_not() {
        let mut budget = Budget::default();
        budget.handle_loss(2 * FLOOR_BYTES);
        for _ in 0..1_000 {
            budget.handle_arrival(100);
        }
        assert_eq!(budget.bytes(MAX), FLOOR_BYTES);
        let mut arrivals = 0;
        while budget.bytes(MAX) < MAX {
            budget.handle_arrival(budget.bytes(MAX));
            arrivals += 1;
        }
        assert_eq!(arrivals, 136, "slowly: 64 times as much after some hundred arrivals");
    }

    /// Where one append in 16 is lost, it falls; where one in 32 is, it grows.
    #[test]
    fn growth_and_halving_balance() {
        let run = |loses_one_in: u64| {
            let mut budget = Budget::default();
            budget.handle_loss(16 << 10);
            for append in 1..=1_000 {
                let bytes = budget.bytes(MAX);
                if append % loses_one_in == 0 {
                    budget.handle_loss(bytes)
                } else {
                    budget.handle_arrival(bytes)
                }
            }
            budget.bytes(MAX)
        };
        assert!(run(16) < 2 << 10);
        assert!(run(32) > 32 << 10);
    }
}
