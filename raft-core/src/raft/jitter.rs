//! What makes election timeouts differ (Raft §5.2).

use alloc::boxed::Box;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::types::{Boot, Member};

/// Numbers of the ChaCha8 stream that seed, member and boot name.
#[derive(Clone, Debug)]
pub(crate) struct Jitter {
    seed: u64,
    /// The place in the stream.
    draws: u64,
    /// A generator at that place, 300 bytes, while the node is busy: making one takes longer than handling a heartbeat.
    generator: Option<Box<ChaCha8Rng>>,
}

impl Jitter {
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter { seed, draws: 0, generator: None }
    }

    /// The next number. `member` and `boot` are the node's, the same at every draw.
    pub(crate) fn draw(&mut self, member: Member, boot: Boot) -> u64 {
        let (seed, draws) = (self.seed, self.draws);
        let generator = self.generator.get_or_insert_with(|| Box::new(generator(seed, member, boot, draws)));
        self.draws += 1;
        generator.next_u64()
    }

    /// Keeps the place only; the numbers go on as if nothing had happened.
    pub(crate) fn let_go_of_room(&mut self) {
        self.generator = None;
    }
}

fn generator(seed: u64, member: Member, boot: Boot, draws: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (chunk, word) in key.chunks_exact_mut(8).zip([seed, member.id.0, boot.0, 0]) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_word_pos(2 * u128::from(draws)); // A word has 32 bits.
    generator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Incarnation, NodeId};

    /// The draws are those of one generator that goes on and on, however often it is let go of.
    #[test]
    fn a_kept_place_gives_the_same_numbers_as_a_kept_generator() {
        let member = Member { id: NodeId(7), incarnation: Incarnation(3) };
        let mut key = [0; 32];
        (key[0], key[8], key[16]) = (42, 7, 9);
        let mut kept = ChaCha8Rng::from_seed(key);
        let mut jitter = Jitter::new(42);
        for draw in 0..1_000 {
            if draw % 7 == 0 || draw % 50 < 10 {
                jitter.let_go_of_room();
            }
            assert_eq!(jitter.draw(member, Boot(9)), kept.next_u64());
        }
    }
}
