//! Configurations, packed: one word for base and state, then the bits.

use crate::check::interner::hash_words;

/// All configurations seen, by number.
pub(super) struct Configurations {
    words: Vec<u64>,
    parents: Vec<u32>,
    stride: usize,
}

/// One configuration, unpacked enough to work on.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    pub(super) base: u32,
    pub(super) state: u32,
    /// The window's bits, then the optional ones'.
    bits: Vec<u64>,
    mask_words: usize,
}

impl Configurations {
    pub(super) fn new(bit_words: usize) -> Configurations {
        Configurations { words: Vec::new(), parents: Vec::new(), stride: bit_words + 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    pub(super) fn push(&mut self, from: &Scratch, parent: u32) {
        self.words.push(from.head());
        self.words.extend_from_slice(&from.bits);
        self.parents.push(parent);
    }

    pub(super) fn parent(&self, number: u32) -> Option<u32> {
        Some(self.parents[number as usize]).filter(|parent| *parent != u32::MAX)
    }

    pub(super) fn is(&self, number: u32, other: &Scratch) -> bool {
        let at = number as usize * self.stride;
        self.words[at] == other.head() && self.words[at + 1..at + self.stride] == other.bits
    }

    pub(super) fn load(&self, number: u32, into: &mut Scratch) {
        let at = number as usize * self.stride;
        into.base = (self.words[at] >> 32) as u32;
        into.state = self.words[at] as u32;
        into.bits.copy_from_slice(&self.words[at + 1..at + self.stride]);
    }
}

impl Scratch {
    pub(super) fn new(mask_words: usize, optional_words: usize) -> Scratch {
        Scratch { base: 0, state: 0, bits: vec![0; mask_words + optional_words], mask_words }
    }

    pub(super) fn cleared(&self) -> Scratch {
        Scratch { base: 0, state: 0, bits: vec![0; self.bits.len()], mask_words: self.mask_words }
    }

    fn head(&self) -> u64 {
        u64::from(self.base) << 32 | u64::from(self.state)
    }

    pub(super) fn hash(&self) -> u64 {
        hash_words(&self.bits) ^ hash_words(&[self.head()]).rotate_left(17)
    }

    /// The number of operations from the base up that have a bit.
    pub(super) fn width(&self) -> u32 {
        self.mask_words as u32 * 64
    }

    /// Whether the required operation has taken effect. It must lie below the window's end.
    pub(super) fn has(&self, index: u32) -> bool {
        if index < self.base {
            return true;
        }
        let bit = (index - self.base) as usize;
        bit / 64 < self.mask_words && self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, index: u32) {
        let bit = (index - self.base) as usize;
        assert!(bit / 64 < self.mask_words, "the window is as wide as the plan computed");
        self.bits[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn optional(&self, index: u32) -> bool {
        self.bits[self.mask_words + index as usize / 64] >> (index % 64) & 1 == 1
    }

    pub(super) fn set_optional(&mut self, index: u32) {
        self.bits[self.mask_words + index as usize / 64] |= 1 << (index % 64);
    }

    /// Moves the base up to the first operation that has not taken effect.
    pub(super) fn advance(&mut self) {
        let mut window = &mut self.bits[..self.mask_words];
        let mut whole = 0;
        while whole < window.len() && window[whole] == u64::MAX {
            whole += 1;
        }
        if whole > 0 {
            window.rotate_left(whole);
            let kept = window.len() - whole;
            window[kept..].fill(0);
            self.base += whole as u32 * 64;
            window = &mut self.bits[..self.mask_words];
        }
        let Some(first) = window.first() else { return };
        let shift = first.trailing_ones();
        if shift == 0 {
            return;
        }
        for word in 0..window.len() {
            let above = window.get(word + 1).copied().unwrap_or(0);
            window[word] = window[word] >> shift | above << (64 - shift);
        }
        self.base += shift;
    }
}
