//! How much handshake work others may cause.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use raft_core::Instant;

/// Handshakes that one source may cause at once, and then in a second.
const SOURCE: Rate = Rate { burst: 24, per_second: 12 };
/// Handshakes that all sources together may cause at once, and then in a second: at about half a millisecond each
/// that is a few hundredths of a processor.
const ALL: Rate = Rate { burst: 256, per_second: 64 };
/// Sources share buckets by a hash under a key of this process: constant memory, and nobody picks their victim.
const BUCKETS: usize = 256;

struct Rate {
    burst: u64,
    per_second: u64,
}

/// A token bucket, in millionths of a token.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: u64,
    filled: Instant,
}

const TOKEN: u64 = 1_000_000;

impl Bucket {
    fn new(now: Instant, rate: &Rate) -> Bucket {
        Bucket { tokens: rate.burst * TOKEN, filled: now }
    }

    fn refill(&mut self, now: Instant, rate: &Rate) {
        let earned = now.since(self.filled).0.saturating_mul(rate.per_second);
        self.tokens = self.tokens.saturating_add(earned).min(rate.burst * TOKEN);
        self.filled = now;
    }
}

/// Says which initiations are worth computing.
pub(crate) struct HandshakeLimit {
    hasher: RandomState,
    all: Bucket,
    sources: Vec<Bucket>,
}

impl HandshakeLimit {
    pub(crate) fn new(now: Instant) -> HandshakeLimit {
        HandshakeLimit {
            hasher: RandomState::new(),
            all: Bucket::new(now, &ALL),
            sources: vec![Bucket::new(now, &SOURCE); BUCKETS],
        }
    }

    /// Takes a token for a handshake from this source. A source without one takes none of everybody's.
    pub(crate) fn allow(&mut self, now: Instant, from: SocketAddr) -> bool {
        let slot = (self.hasher.hash_one(from) % BUCKETS as u64) as usize;
        let source = &mut self.sources[slot];
        source.refill(now, &SOURCE);
        self.all.refill(now, &ALL);
        if source.tokens < TOKEN || self.all.tokens < TOKEN {
            return false;
        }
        source.tokens -= TOKEN;
        self.all.tokens -= TOKEN;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limit: &mut HandshakeLimit, now: Instant, ports: std::ops::Range<u16>) -> usize {
        ports.filter(|port| limit.allow(now, SocketAddr::from(([10, 0, 0, 1], *port)))).count()
    }

    #[test]
    fn one_source_has_its_burst_and_then_its_rate() {
        let mut limit = HandshakeLimit::new(Instant(0));
        let from = SocketAddr::from(([10, 0, 0, 1], 7));
        assert_eq!((0..100).filter(|_| limit.allow(Instant(0), from)).count(), 24);
        assert_eq!((0..100).filter(|_| limit.allow(Instant(1_000_000), from)).count(), 12);
    }

    #[test]
    fn many_sources_share_one_limit() {
        let mut limit = HandshakeLimit::new(Instant(0));
        assert_eq!(allowed(&mut limit, Instant(0), 1..20_000), 256);
        assert_eq!(allowed(&mut limit, Instant(1_000_000), 1..20_000), 64);
    }
}
