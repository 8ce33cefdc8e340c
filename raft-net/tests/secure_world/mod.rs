//! Members that exchange datagrams by hand.
// Each test binary uses its part; helpers of tests may unwrap like tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::net::SocketAddr;

use raft_core::{Boot, ClusterId, Epoch, Incarnation, Instant, Member, NodeId, Span};
use raft_net::secure::*;

/// Once datagrams arrive again, a payload that is sent anew every 100 ms arrives within this: the longest span
/// between two initiations is 800 ms.
pub const TALKING_AGAIN_MILLIS: u64 = 900;

pub fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(70 + id) }
}

pub fn address(id: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, id as u8], 7_000))
}

pub fn key(id: u64) -> PrivateKey {
    PrivateKey::from_bytes([id as u8; 32])
}

pub fn secret(fill: u8) -> ClusterSecret {
    ClusterSecret::from_bytes([fill; 32])
}

pub fn peer(id: u64) -> Peer {
    Peer { member: member(id), public: key(id).public(), address: address(id) }
}

/// Member `id` of a cluster of members 1 to 3 that know each other.
pub fn config(id: u64, boot: u64) -> SecureConfig {
    SecureConfig {
        own: member(id),
        boot: Boot(boot),
        cluster: ClusterId(5),
        epoch: Epoch(0),
        key: key(id),
        secrets: secret(200).into(),
        peers: (1..=3).filter(|other| *other != id).map(peer).collect(),
        datagram_bytes_max: 1_200,
        limits: SessionLimits::default(),
    }
}

/// A member that knows one peer only.
pub fn config_of_pair(id: u64, boot: u64, other: u64) -> SecureConfig {
    SecureConfig { peers: vec![peer(other)], ..config(id, boot) }
}

pub fn start(config: SecureConfig, now: Instant) -> Secure {
    let seed = config.own.id.0 << 32 | config.boot.0;
    Secure::with_randomness(config, now, Randomness::seeded_for_tests(seed)).unwrap()
}

/// Two members, 1 and 2, and the time.
pub struct Pair {
    pub members: [Secure; 2],
    pub now: Instant,
    /// Every datagram that was ever sent, with the side it went to.
    pub captured: Vec<(usize, Vec<u8>)>,
    /// What arrived, with the side where.
    pub heard: Vec<(usize, Vec<u8>)>,
}

impl Pair {
    pub fn new() -> Pair {
        Pair::with(|config| config)
    }

    pub fn with(change: impl Fn(SecureConfig) -> SecureConfig) -> Pair {
        let now = Instant(0);
        let members = [(1, 2), (2, 1)].map(|(id, other)| start(change(config_of_pair(id, 1, other)), now));
        Pair { members, now, captured: Vec::new(), heard: Vec::new() }
    }

    pub fn connected() -> Pair {
        let mut pair = Pair::new();
        pair.settle();
        pair.assert_connected();
        pair
    }

    pub fn assert_connected(&self) {
        for member in &self.members {
            assert!(member.connections()[0].is_connected(), "{:?}", member.connections());
        }
    }

    /// Takes what a side wants to send.
    pub fn poll(&mut self, side: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(transmit) = self.members[side].poll_transmit() {
            assert_eq!(transmit.address, address(2 - side as u64));
            assert!(transmit.datagram.len() <= 1_200);
            self.captured.push((1 - side, transmit.datagram.clone()));
            out.push(transmit.datagram);
        }
        out
    }

    /// Hands a datagram to a side, as from the other.
    pub fn deliver(&mut self, side: usize, datagram: &[u8]) -> Result<(), Dropped> {
        let from = address(2 - side as u64);
        let other = member(2 - side as u64);
        if let Some(received) = self.members[side].handle_datagram(self.now, from, datagram)? {
            assert_eq!(received.from, other);
            self.heard.push((side, received.payload.to_vec()));
        }
        Ok(())
    }

    /// Delivers everything, at once and in order, until nothing is on its way. What is dropped is dropped.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let mut quiet = true;
            for side in 0..2 {
                for datagram in self.poll(side) {
                    quiet = false;
                    let _ = self.deliver(1 - side, &datagram);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the members never fall silent");
    }

    pub fn advance(&mut self, millis: u64) {
        self.now = self.now.plus(Span::from_millis(millis));
        for member in &mut self.members {
            member.tick(self.now);
        }
    }

    /// Lets time pass as a host would: a tick whenever one is due, everything delivered.
    pub fn run(&mut self, millis: u64) {
        let end = self.now.plus(Span::from_millis(millis));
        for _ in 0..10_000 {
            self.settle();
            let due = self.members.iter().filter_map(Secure::next_tick).min().unwrap();
            if due >= end {
                break;
            }
            self.now = self.now.max(due);
            self.advance(0);
        }
        self.now = end;
        self.advance(0);
        self.settle();
    }

    pub fn seal(&mut self, side: usize, payload: &[u8]) {
        self.members[side].seal(self.now, member(2 - side as u64), payload).unwrap();
    }

    /// Seals a payload that goes to the other side, and hears it there.
    pub fn assert_passes(&mut self, side: usize, payload: &[u8]) {
        self.seal(side, payload);
        self.settle();
        let expected = (1 - side, payload.to_vec());
        assert_eq!(self.heard.iter().filter(|heard| **heard == expected).count(), 1);
    }

    /// Seals a payload for each side every 100 ms, delivers everything, and hears one at each in time.
    pub fn assert_retried_arrives_within(&mut self, millis: u64) {
        let first = self.heard.len();
        for round in 0..=millis / 100 {
            for side in 0..2 {
                self.seal(side, &[&b"retried"[..], &[side as u8], &round.to_le_bytes()].concat());
            }
            self.settle();
            let heard = |side| {
                self.heard[first..].iter().any(|(at, payload)| *at == side && payload.starts_with(b"retried"))
            };
            if heard(0) && heard(1) {
                return;
            }
            self.run(100);
        }
        let states = self.members.each_ref().map(Secure::connections);
        panic!("{millis} ms and nothing arrived at one side at least: {states:?}");
    }

    pub fn initiations(&self, side: usize) -> u64 {
        self.members[side].connections()[0].traffic.initiations
    }

    pub fn handshakes(&self, side: usize) -> u64 {
        self.members[side].connections()[0].traffic.handshakes
    }
}

/// Whether a datagram is the first of a handshake.
pub fn is_initiation(datagram: &[u8]) -> bool {
    datagram[0] == 1
}

pub fn dropped(secure: &Secure, reason: Dropped) -> u64 {
    secure.dropped().find(|(name, _)| *name == reason.name()).unwrap().1
}

pub fn dropped_in_all(secure: &Secure) -> u64 {
    secure.dropped().map(|(_, count)| count).sum()
}
