//! Where ephemeral keys, session indexes and jitter come from.

use blake2::{Blake2s256, Digest};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};

/// A source of random bytes. [`Randomness::os`], unless a test wants the same bytes twice.
#[derive(Clone, Debug)]
pub struct Randomness(Source);

#[derive(Clone, Debug)]
enum Source {
    Os,
    Seeded { seed: u64, drawn: u64 },
}

impl Randomness {
    /// The operating system's.
    #[must_use]
    pub fn os() -> Randomness {
        Randomness(Source::Os)
    }

    /// The same bytes for the same seed. **For tests only**: whoever knows the seed knows every session key.
    #[must_use]
    pub fn seeded_for_tests(seed: u64) -> Randomness {
        Randomness(Source::Seeded { seed, drawn: 0 })
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match &mut self.0 {
            Source::Os => getrandom::fill(bytes),
            Source::Seeded { seed, drawn } => {
                for part in bytes.chunks_mut(32) {
                    let block =
                        Blake2s256::new().chain_update(seed.to_le_bytes()).chain_update(drawn.to_le_bytes());
                    part.copy_from_slice(&block.finalize()[..part.len()]);
                    *drawn += 1;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, getrandom::Error> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A stream of its own for one handshake.
    fn fork(&mut self) -> Randomness {
        match &mut self.0 {
            Source::Os => Randomness::os(),
            Source::Seeded { seed, drawn } => {
                *drawn += 1;
                Randomness(Source::Seeded { seed: seed.rotate_left(17) ^ *drawn, drawn: 1 << 32 })
            }
        }
    }
}

impl Random for Randomness {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        self.fill(bytes).map_err(|_| snow::Error::Rng)
    }
}

/// The primitives of one handshake: the AEAD from `ring`, the rest from `snow`'s defaults, randomness from here.
pub(crate) struct Primitives(Randomness);

impl Primitives {
    pub(crate) fn new(randomness: &mut Randomness) -> Box<Primitives> {
        Box::new(Primitives(randomness.fork()))
    }
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(self.0.clone()))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}
