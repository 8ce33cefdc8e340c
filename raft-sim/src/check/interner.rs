//! A table from things to small numbers: open addressing, exact comparison, the same on every platform.

/// Numbers things that the owner keeps, in the order of their first appearance.
///
/// Architecture Invariant: two things are the same only if the owner's comparison says so. Hashes only say where
/// to look; a checker that trusts them prunes states that it never saw.
#[derive(Clone, Debug)]
pub(crate) struct Interner {
    /// Number plus one; 0 is an empty slot.
    slots: Vec<u32>,
    /// The hashes of the things, by number: they make growing cheap.
    hashes: Vec<u64>,
}

impl Interner {
    pub(crate) fn new() -> Interner {
        Interner { slots: vec![0; 64], hashes: Vec::new() }
    }

    /// The number of the thing and whether it is new. `same(n)` compares it with thing `n`.
    pub(crate) fn intern(&mut self, hash: u64, same: impl Fn(u32) -> bool) -> (u32, bool) {
        if self.hashes.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                0 => {
                    let number = self.hashes.len() as u32;
                    self.slots[slot] = number + 1;
                    self.hashes.push(hash);
                    return (number, true);
                }
                taken => {
                    let number = taken - 1;
                    if self.hashes[number as usize] == hash && same(number) {
                        return (number, false);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        self.slots = vec![0; mask + 1];
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut slot = *hash as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number as u32 + 1;
        }
    }
}

/// Mixes words into a hash whose low bits depend on all of them.
pub(crate) fn hash_words(words: &[u64]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = 0u64;
    for word in words {
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(ODD);
        hash ^= hash >> 29;
    }
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 32)
}
