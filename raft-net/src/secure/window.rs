//! Which counters of a session have been seen: each is accepted once.

/// How far a datagram may be overtaken by later ones and still be accepted. A burst of a follower's catching up is
/// a few hundred datagrams.
pub const WINDOW_COUNTERS: u64 = 2_048;

const WORD_BITS: u64 = 64;
/// One word more than the window, so that clearing the word ahead never forgets a counter still inside it.
const WORDS: usize = (WINDOW_COUNTERS / WORD_BITS) as usize + 1;

/// A sliding window over 64-bit counters, in the manner of RFC 6479: constant memory, no shifting.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// One more than the greatest counter accepted.
    next: u64,
    /// Invariant: bit `c % 64` of word `c / 64 % WORDS` tells whether `c` was accepted, for the counters from
    /// `next - WINDOW_COUNTERS` up to `next`.
    words: [u64; WORDS],
}

/// Why a counter is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// It was accepted before.
    Seen,
    /// It lies below the window: nobody knows whether it was.
    TooOld,
}

impl Window {
    pub(crate) fn new() -> Window {
        Window { next: 0, words: [0; WORDS] }
    }

    /// Whether any counter was accepted.
    pub(crate) fn has_accepted(&self) -> bool {
        self.next > 0
    }

    /// Whether a counter may be accepted. Changes nothing: the datagram's tag is still to be checked.
    pub(crate) fn check(&self, counter: u64) -> Result<(), Stale> {
        if counter >= self.next {
            return Ok(());
        }
        if self.next - counter > WINDOW_COUNTERS {
            return Err(Stale::TooOld);
        }
        if self.words[word(counter)] & bit(counter) == 0 { Ok(()) } else { Err(Stale::Seen) }
    }

    /// Notes a counter whose datagram proved authentic. True if it is the greatest so far.
    ///
    /// # Panics
    /// With a counter that [`Window::check`] refuses.
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        assert_eq!(self.check(counter), Ok(()), "only a checked counter is accepted");
        let greatest = counter >= self.next;
        if greatest {
            // The words that the window newly reaches hold counters of a lap ago.
            let first = self.next.div_ceil(WORD_BITS);
            let last = counter / WORD_BITS;
            if last >= first {
                let count = (last - first + 1).min(WORDS as u64);
                for step in 0..count {
                    self.words[((last - step) % WORDS as u64) as usize] = 0;
                }
            }
            self.next = counter.saturating_add(1);
        }
        self.words[word(counter)] |= bit(counter);
        greatest
    }
}

fn word(counter: u64) -> usize {
    (counter / WORD_BITS % WORDS as u64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_is_accepted_once_and_not_from_below_the_window() {
        let mut window = Window::new();
        assert!(window.accept(0));
        assert_eq!(window.check(0), Err(Stale::Seen));
        assert!(window.accept(WINDOW_COUNTERS));
        assert_eq!(window.check(0), Err(Stale::TooOld));
        assert!(!window.accept(1));
        assert_eq!(window.check(1), Err(Stale::Seen));
        assert!(window.accept(u64::MAX - 1));
        assert_eq!(window.check(WINDOW_COUNTERS), Err(Stale::TooOld));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(
            steps in prop::collection::vec(prop_oneof![8 => 0_u64..400, 2 => 0_u64..5_000, 1 => 0_u64..100_000], 1..400),
            forward in any::<bool>(),
        ) {
            let (mut window, mut seen, mut next) = (Window::new(), BTreeSet::new(), 0_u64);
            for step in steps {
                let counter = if forward { next + step } else { (next + 200).saturating_sub(step) };
                let expected = if counter < next && next - counter > WINDOW_COUNTERS {
                    Err(Stale::TooOld)
                } else if seen.contains(&counter) {
                    Err(Stale::Seen)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(counter), expected);
                if expected.is_ok() {
                    prop_assert_eq!(window.accept(counter), counter >= next);
                    seen.insert(counter);
                    next = next.max(counter + 1);
                }
            }
        }
    }
}
