//! Half-joined messages: pieces wait here for the others, in any order, within bounds.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::WireError;
use super::datagram::{self, PieceHeader};
use crate::types::{Boot, Instant, Member, Span};

/// Senders of half-joined messages at most; the one not heard for longest goes first. More than a cluster has
/// members, so that those who stray in do not push out those who belong.
pub const JOINING_PEERS_MAX: usize = 64;

/// Half-joined messages of one sender at most; the oldest goes first. More than the appends that are under way to
/// one follower by default.
pub const JOINING_MESSAGES_MAX: usize = 128;

/// How long a half-joined message is kept. What is missing after ten seconds is lost, and Raft has sent it again.
pub const JOINING_SPAN: Span = Span::from_millis(10_000);

/// How often all peers are searched for messages that are too old.
const SWEEP_INTERVAL: Span = Span::from_millis(1_000);

/// All half-joined messages.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    bytes_max: usize,
    /// Invariant: no peer is without messages; at most [`JOINING_PEERS_MAX`].
    peers: BTreeMap<Member, Peer>,
    /// Counts pieces, to tell older from newer without asking a clock.
    arrivals: u64,
    swept: Instant,
    abandoned: u64,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    /// Invariant: at most [`JOINING_MESSAGES_MAX`], and no message is complete.
    messages: BTreeMap<MessageName, Half>,
    /// Invariant: the sum of the messages' bytes; at most `bytes_max`.
    bytes: usize,
    /// The arrival of the last piece.
    heard: u64,
}

/// A message's name at its sender.
type MessageName = (Boot, u64);

/// A half-joined message.
#[derive(Clone, Debug)]
struct Half {
    /// The header of the first piece that came; the others differ in their ordinal only.
    header: PieceHeader,
    /// What came, by ordinal. Grows with what arrives; the total is only a claim.
    pieces: BTreeMap<u32, Box<[u8]>>,
    bytes: usize,
    arrival: u64,
    started: Instant,
}

impl Joining {
    pub(super) fn new(bytes_max: usize) -> Joining {
        Joining { bytes_max, peers: BTreeMap::new(), arrivals: 0, swept: Instant(0), abandoned: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.peers.values().map(|peer| peer.bytes).sum()
    }

    pub(super) fn messages(&self) -> usize {
        self.peers.values().map(|peer| peer.messages.len()).sum()
    }

    pub(super) fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Takes a piece whose header was checked. The bytes of the message, if this was the last one missing.
    pub(super) fn handle_piece(
        &mut self,
        now: Instant,
        header: &PieceHeader,
        content: &[u8],
    ) -> Result<Option<Vec<u8>>, WireError> {
        assert!(header.total_bytes as usize <= self.bytes_max, "validate() makes room for one message");
        self.sweep(now);
        self.make_room_for_peer(header.from);
        self.arrivals += 1;
        let peer = self.peers.entry(header.from).or_default();
        peer.heard = self.arrivals;
        let name = (header.from_boot, header.number);
        if !peer.messages.contains_key(&name) {
            while peer.messages.len() >= JOINING_MESSAGES_MAX {
                self.abandoned += peer.abandon_oldest_but(name);
            }
            peer.messages.insert(name, Half::new(header, self.arrivals, now));
        }
        let half = peer.messages.get_mut(&name).expect("inserted above");
        if !half.add(header, content)? {
            return Ok(None);
        }
        peer.bytes += content.len();
        if half.bytes < header.total_bytes as usize {
            // Ends: no single message is above the bound, and all others may go.
            while peer.bytes > self.bytes_max {
                self.abandoned += peer.abandon_oldest_but(name);
            }
            return Ok(None);
        }
        let message = peer.remove(name).expect("found above").join();
        if peer.messages.is_empty() {
            self.peers.remove(&header.from);
        }
        // The pieces were whole, so they are not of one message: a number was used twice.
        if datagram::checksum(&message) != header.checksum {
            return Err(WireError::Inconsistent);
        }
        Ok(Some(message))
    }

    fn make_room_for_peer(&mut self, from: Member) {
        if self.peers.contains_key(&from) || self.peers.len() < JOINING_PEERS_MAX {
            return;
        }
        let silent = self.peers.iter().min_by_key(|(_, peer)| peer.heard).map(|(member, _)| *member);
        if let Some(peer) = silent.and_then(|member| self.peers.remove(&member)) {
            self.abandoned += peer.messages.len() as u64;
        }
    }

    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) < SWEEP_INTERVAL {
            // A clock that went back starts anew; until then only the other bounds hold.
            self.swept = self.swept.min(now);
            return;
        }
        self.swept = now;
        for peer in self.peers.values_mut() {
            let too_old: Vec<MessageName> = peer
                .messages
                .iter()
                .filter(|(_, half)| now.since(half.started) >= JOINING_SPAN)
                .map(|(name, _)| *name)
                .collect();
            for name in too_old {
                peer.remove(name);
                self.abandoned += 1;
            }
        }
        self.peers.retain(|_, peer| !peer.messages.is_empty());
    }
}

impl Peer {
    fn remove(&mut self, name: MessageName) -> Option<Half> {
        let half = self.messages.remove(&name)?;
        self.bytes -= half.bytes;
        Some(half)
    }

    /// Drops the oldest message that is not `kept`. How many that were: one or none.
    fn abandon_oldest_but(&mut self, kept: MessageName) -> u64 {
        let others = self.messages.iter().filter(|(name, _)| **name != kept);
        let oldest = others.min_by_key(|(_, half)| half.arrival).map(|(name, _)| *name);
        u64::from(oldest.and_then(|name| self.remove(name)).is_some())
    }
}

impl Half {
    fn new(header: &PieceHeader, arrival: u64, started: Instant) -> Half {
        Half { header: *header, pieces: BTreeMap::new(), bytes: 0, arrival, started }
    }

    /// Adds a piece: whether it is new.
    fn add(&mut self, header: &PieceHeader, content: &[u8]) -> Result<bool, WireError> {
        if (PieceHeader { ordinal: self.header.ordinal, ..*header }) != self.header {
            return Err(WireError::Inconsistent);
        }
        if let Some(known) = self.pieces.get(&header.ordinal) {
            return if **known == *content { Ok(false) } else { Err(WireError::Inconsistent) };
        }
        self.bytes += content.len();
        self.pieces.insert(header.ordinal, content.into());
        Ok(true)
    }

    /// The message. All of it is here, so this room was paid for by what arrived.
    fn join(self) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.bytes);
        for piece in self.pieces.into_values() {
            message.extend_from_slice(&piece);
        }
        message
    }
}
