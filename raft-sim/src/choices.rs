//! Every decision of a run, by (stream, ordinal).
//!
//! A stream has a name, such as ("net", from, to); its n-th decision depends on the seed, the name and n alone. So
//! neither a new stream nor a decision less in one stream shifts the decisions of the others. Integers only.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::xxh3_64;

/// What a probability is measured in.
pub const PPM: u64 = 1_000_000;

/// A stream of decisions that was opened by [`Choices::stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(u32);

/// A decision's place: the hash of its stream's name, and its number in the stream.
pub type Place = (u64, u64);

/// The source of all decisions.
///
/// In every kind 0 is the dull answer: no fault, a short delay, the first candidate. What a recording does not
/// name, and what lies past the end of a fuzzer's bytes, is dull, so a shrinker may delete at will.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    streams: Vec<Lane>,
    /// Of the streams that are opened now: a run of several lives has each of them anew in each life.
    life: u32,
    /// Where `Some`, each decision is written down.
    record: Option<BTreeMap<Place, u64>>,
}

#[derive(Clone, Debug)]
enum Source {
    Seeded(u64),
    Recorded(BTreeMap<Place, u64>),
    Bytes { bytes: Vec<u8>, position: usize },
}

#[derive(Clone, Debug)]
struct Lane {
    name: u64,
    ordinal: u64,
    rng: ChaCha8Rng,
}

impl Choices {
    /// Decisions from a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Choices {
        Choices::of(Source::Seeded(seed))
    }

    /// Decisions from a recording; what it does not name is dull.
    #[must_use]
    pub fn recorded(decisions: BTreeMap<Place, u64>) -> Choices {
        Choices::of(Source::Recorded(decisions))
    }

    /// Decisions from a fuzzer's bytes, one each, in the order in which they are asked for; then dull ones.
    ///
    /// One byte whatever the question, so that a changed byte changes one decision and moves no other; what was
    /// decided before it stays. More than 256 answers are thinned out: the byte is stretched over them.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Choices {
        Choices::of(Source::Bytes { bytes, position: 0 })
    }

    fn of(source: Source) -> Choices {
        Choices { source, streams: Vec::new(), life: 0, record: None }
    }

    /// From here on, decisions are written down.
    pub fn start_recording(&mut self) {
        self.record = Some(BTreeMap::new());
    }

    /// What was written down.
    #[must_use]
    pub fn recording(&self) -> Option<&BTreeMap<Place, u64>> {
        self.record.as_ref()
    }

    /// How many decisions a fuzzer's bytes were asked for so far, those past their end included; 0 for other sources.
    #[must_use]
    pub fn bytes_asked(&self) -> usize {
        match &self.source {
            Source::Bytes { position, .. } => *position,
            Source::Seeded(_) | Source::Recorded(_) => 0,
        }
    }

    /// Streams that are opened from now on are those of another life, and decide otherwise; life 0 is the first one.
    pub(crate) fn begin_life(&mut self, life: u32) {
        self.life = life;
        if life > 0 {
            self.streams.clear();
        }
    }

    /// Opens a stream. Opened again, a name starts from its first decision, so open each once.
    pub fn stream(&mut self, name: &str, a: u64, b: u64) -> Stream {
        let mut bytes = Vec::with_capacity(name.len() + 16);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&a.to_le_bytes());
        bytes.extend_from_slice(&b.to_le_bytes());
        if self.life > 0 {
            bytes.extend_from_slice(&self.life.to_le_bytes());
        }
        let name = xxh3_64(&bytes);
        let seed = match &self.source {
            Source::Seeded(seed) => *seed,
            Source::Recorded(_) | Source::Bytes { .. } => 0,
        };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(name);
        let stream = u32::try_from(self.streams.len()).expect("a run has a few hundred streams");
        self.streams.push(Lane { name, ordinal: 0, rng });
        Stream(stream)
    }

    /// A decision among `count` answers: 0 up to below `count`, which must not be 0.
    pub fn below(&mut self, stream: Stream, count: u64) -> u64 {
        assert!(count > 0, "a decision has at least one answer");
        let lane = &mut self.streams[stream.0 as usize];
        let place = (lane.name, lane.ordinal);
        lane.ordinal += 1;
        let answer = match &mut self.source {
            // Multiply and shift: no loop, so each decision takes one number. The bias is below count / 2^64.
            Source::Seeded(_) => ((u128::from(lane.rng.next_u64()) * u128::from(count)) >> 64) as u64,
            Source::Recorded(decisions) => decisions.get(&place).copied().unwrap_or(0).min(count - 1),
            Source::Bytes { bytes, position } => from_bytes(bytes, position, count),
        };
        if let Some(record) = self.record.as_mut().filter(|_| answer != 0) {
            record.insert(place, answer);
        }
        answer
    }

    /// One of `low..=high`.
    pub fn between(&mut self, stream: Stream, low: u64, high: u64) -> u64 {
        low + self.below(stream, high.saturating_sub(low).saturating_add(1))
    }

    /// Yes, with a probability in parts per million. The dull answer is no.
    pub fn chance(&mut self, stream: Stream, ppm: u32) -> bool {
        ppm > 0 && self.below(stream, PPM) >= PPM.saturating_sub(u64::from(ppm))
    }

    /// One of `low..=high`, each power of two as likely as any other. `low` must not be 0.
    pub fn log_uniform(&mut self, stream: Stream, low: u64, high: u64) -> u64 {
        assert!(low > 0 && low <= high, "a range of positive numbers");
        let octaves = u64::from(high.ilog2() - low.ilog2()) + 1;
        let octave = self.below(stream, octaves);
        let from = low.max(if octave == 0 { low } else { 1 << (u64::from(low.ilog2()) + octave) });
        let to = high.min(((1u128 << (u64::from(low.ilog2()) + octave + 1)) - 1) as u64);
        self.between(stream, from.min(to), to)
    }

    /// Roughly exponential with this mean: a uniform number times a power of two that grows with probability 1/2.
    pub fn exponential(&mut self, stream: Stream, mean: u64) -> u64 {
        if let Source::Bytes { .. } = self.source {
            // From an eighth of the mean to four times it. Not from zero: a node that crashes as it starts would start
            // again at once for ever, where no decision is left to keep it down.
            return mean.saturating_mul(8 + self.below(stream, 256)) / 64;
        }
        // The span doubles with probability 1/2, six times at most: on average it is four times its first length, and
        // half of it is drawn.
        let draw = self.below(stream, 1 << 32);
        let doublings = (draw & 63).trailing_ones();
        let part = draw >> 6;
        let span = (u128::from(mean) << doublings.min(6)) / 2;
        ((span * u128::from(part)) >> 26) as u64
    }

    /// One of the items.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, stream: Stream, items: &[T]) -> T {
        items[self.below(stream, items.len() as u64) as usize]
    }
}

/// Decisions from one stream.
#[derive(Debug)]
pub struct Draw<'a> {
    choices: &'a mut Choices,
    stream: Stream,
}

impl<'a> Draw<'a> {
    /// Decisions from that stream.
    pub(crate) fn new(choices: &'a mut Choices, stream: Stream) -> Draw<'a> {
        Draw { choices, stream }
    }

    /// One of 0 up to below `count`, which must not be 0.
    pub fn below(&mut self, count: u64) -> u64 {
        self.choices.below(self.stream, count)
    }

    /// One of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.choices.between(self.stream, low, high)
    }

    /// See [`Choices::log_uniform`]; `high` counts for at least `low`.
    pub(crate) fn log_uniform(&mut self, low: u64, high: u64) -> u64 {
        self.choices.log_uniform(self.stream, low, high.max(low))
    }

    /// See [`Choices::exponential`].
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        self.choices.exponential(self.stream, mean)
    }

    /// Opens another stream: see [`Choices::stream`].
    pub(crate) fn stream(&mut self, name: &str, a: u64, b: u64) -> Stream {
        self.choices.stream(name, a, b)
    }

    /// Decisions from another stream, for a while.
    pub(crate) fn of(&mut self, stream: Stream) -> Draw<'_> {
        Draw { choices: self.choices, stream }
    }
}

/// A byte stretched over the answers. What has one answer only takes none.
fn from_bytes(bytes: &[u8], position: &mut usize, count: u64) -> u64 {
    if count == 1 {
        return 0;
    }
    let byte = bytes.get(*position).copied().unwrap_or(0);
    *position += 1;
    ((u128::from(byte) * u128::from(count)) >> 8) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_depends_on_its_name_and_number_alone() {
        let mut one = Choices::seeded(7);
        let net = one.stream("net", 0, 1);
        let alone: Vec<u64> = (0..100).map(|_| one.below(net, 1000)).collect();
        let mut two = Choices::seeded(7);
        let other = two.stream("net", 1, 0);
        let net = two.stream("net", 0, 1);
        let among: Vec<u64> = (0..100)
            .map(|_| {
                two.below(other, 10);
                two.below(net, 1000)
            })
            .collect();
        assert_eq!(alone, among);
    }

    #[test]
    fn the_numbers_are_the_same_everywhere() {
        let mut choices = Choices::seeded(42);
        let stream = choices.stream("golden", 1, 2);
        let drawn: Vec<u64> = (0..4).map(|_| choices.below(stream, 1_000_000)).collect();
        assert_eq!(drawn, [261_576, 69_063, 469_816, 185_638]);
    }

    #[test]
    fn a_recording_repeats_the_run_and_its_absence_is_dull() {
        let mut choices = Choices::seeded(3);
        choices.start_recording();
        let stream = choices.stream("x", 0, 0);
        let drawn: Vec<u64> = (0..50).map(|_| choices.below(stream, 9)).collect();
        let mut again = Choices::recorded(choices.recording().expect("it records").clone());
        let stream = again.stream("x", 0, 0);
        assert_eq!(drawn, (0..50).map(|_| again.below(stream, 9)).collect::<Vec<_>>());
        assert_eq!(again.below(stream, 9), 0);
        assert!(!again.chance(stream, 999_999), "the dull answer is no");
    }

    #[test]
    fn bytes_decide_until_they_end() {
        let mut choices = Choices::bytes(vec![128, 1, 255, 200]);
        let stream = choices.stream("x", 0, 0);
        let drawn = [10, 1, 1000, 256, PPM, 10].map(|count| choices.below(stream, count));
        assert_eq!(drawn, [5, 0, 3, 255, 781_250, 0]);
        assert_eq!(choices.bytes_asked(), 5, "one answer is no decision, and past the end counts");
        assert_eq!(choices.exponential(stream, 800), 100, "a dull delay is short, and not nothing");
    }

    #[test]
    fn ranges_hold_and_the_mean_is_about_right() {
        let mut choices = Choices::seeded(1);
        let stream = choices.stream("x", 0, 0);
        let mut sum = 0;
        for _ in 0..10_000 {
            assert!((3..=9).contains(&choices.between(stream, 3, 9)));
            assert!((5..=5_000).contains(&choices.log_uniform(stream, 5, 5_000)));
            assert_eq!(choices.log_uniform(stream, 8, 8), 8);
            sum += choices.exponential(stream, 1_000);
        }
        assert!((7_000_000..13_000_000).contains(&sum), "{sum}");
    }
}
