//! What a run cost beyond what it needed: each figure in hundredths of what is allowed, or of an election timeout, with
//! its bound derived where it is measured.

use std::collections::BTreeMap;

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The longest time from a request to its answer while a leader was in reach.
    SlowestAnswer,
    /// Bytes of entries that a follower was sent beyond once.
    EntriesAgain,
    /// Messages that a run without a fault took.
    Messages,
    /// Bytes read from the disk beyond once.
    ReadAgain,
    /// Bytes that did not fit into the queue of a link, of those that it took.
    Overflow,
    /// From the beginning to the first leader, in a run without a fault.
    FirstLeader,
    /// From the healing to the first moment when all of the core followed a leader.
    LeaderAfterHealing,
}

/// The figures in order: the name in reports, and what 100 means.
pub const MEASURES: [(Measure, &str, &str); 7] = [
    (Measure::SlowestAnswer, "slowest answer with a leader in reach", "what should do"),
    (Measure::EntriesAgain, "bytes of entries sent beyond once, without a fault", "the bound"),
    (Measure::Messages, "messages without a fault", "the bound"),
    (Measure::ReadAgain, "bytes read from the disk beyond once", "the bound"),
    (Measure::Overflow, "bytes that a full link dropped", "the bound"),
    (Measure::FirstLeader, "from the beginning to a leader, without a fault", "an election timeout"),
    (Measure::LeaderAfterHealing, "from the healing to a leader of the whole core", "an election timeout"),
];

/// The figures of a run; none where the question did not come up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures([Option<u64>; MEASURES.len()]);

impl Measures {
    /// A figure came up: the highest of a run counts.
    pub fn note(&mut self, measure: Measure, hundredths: u64) {
        let own = &mut self.0[measure as usize];
        *own = (*own).max(Some(hundredths));
    }

    /// The highest figure.
    #[must_use]
    pub fn get(&self, measure: Measure) -> Option<u64> {
        self.0[measure as usize]
    }

    /// Adds another life's.
    pub fn add(&mut self, other: &Measures) {
        for (measure, ..) in MEASURES {
            if let Some(hundredths) = other.get(measure) {
                self.note(measure, hundredths);
            }
        }
    }

    /// By name, those that came up.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<&'static str, u64> {
        MEASURES.iter().filter_map(|(measure, name, _)| Some((*name, self.get(*measure)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_figure_counts_and_places_are_those_of_the_table() {
        let (mut one, mut other) = (Measures::default(), Measures::default());
        one.note(Measure::Messages, 30);
        other.note(Measure::Messages, 20);
        other.note(Measure::ReadAgain, 7);
        one.add(&other);
        assert_eq!((one.get(Measure::Messages), one.get(Measure::ReadAgain)), (Some(30), Some(7)));
        assert_eq!(one.get(Measure::SlowestAnswer), None);
        assert!((0..).zip(MEASURES).all(|(place, (measure, ..))| measure as usize == place));
    }
}
