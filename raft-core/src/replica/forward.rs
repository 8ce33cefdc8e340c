//! The leader's side of forwarding: a command that arrives twice enters the log once.
//!
//! A refusal must be certain, because the client is told that nothing happened. What makes it so:
//! 1. A follower sends a request to one member in one term only, the leader that it knows.
//! 2. A leader accepts only requests of the term that it leads, and writes down each decision here, refusals too:
//!    a copy that comes later gets the same answer, even if there would be room for it by then.
//! 3. What is forgotten (below the window, of an earlier boot of the sender, of an earlier term) is never answered
//!    and never accepted.
//! 4. A member that restarts loses this table, but it can't lead a term again that it had reached before: it
//!    accepts nothing of that term, and does not answer for it either, since it may have accepted the first copy.

use alloc::collections::BTreeMap;

use crate::types::{Boot, LogId, Member, Term};

/// How many requests back a leader remembers, for each peer. A follower has no request without an answer that is
/// older than this, so one that is below the window is a late copy of a finished one.
pub(super) const FORWARD_WINDOW: u64 = 4_096;

/// Peers remembered in one term; a peer beyond it is not answered. No cluster is that large.
const FORWARD_PEERS_MAX: usize = 256;

/// What the leader made of a request, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is in the log.
    Accepted(LogId),
    /// It is not, and never will be by this request.
    Refused(&'static str),
}

/// What is known of a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The first copy in this boot: decide, and record it.
    New,
    /// A later copy: answer the same.
    Decided(Decision),
    /// Forgotten: answer nothing.
    Forgotten,
}

/// A request's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The term in which it was sent.
    pub(super) term: Term,
    /// By whom.
    pub(super) from: Member,
    /// In which of its boots.
    pub(super) boot: Boot,
    /// Its number in that boot.
    pub(super) number: u64,
}

/// The decisions of one term: every request of it that this boot has decided and that is still in its window.
#[derive(Clone, Debug, Default)]
pub(super) struct Intake {
    term: Term,
    peers: BTreeMap<Member, Peer>,
}

#[derive(Clone, Debug)]
struct Peer {
    boot: Boot,
    /// Requests below this are forgotten. Invariant: no decision is kept below it.
    floor: u64,
    decisions: BTreeMap<u64, Decision>,
}

impl Intake {
    /// What is known of a request.
    pub(super) fn lookup(&self, request: Request) -> Known {
        if request.term != self.term {
            return if request.term > self.term { Known::New } else { Known::Forgotten };
        }
        let Some(peer) = self.peers.get(&request.from) else {
            let full = self.peers.len() >= FORWARD_PEERS_MAX;
            return if full { Known::Forgotten } else { Known::New };
        };
        if request.boot != peer.boot {
            return if request.boot > peer.boot { Known::New } else { Known::Forgotten };
        }
        if request.number < peer.floor {
            return Known::Forgotten;
        }
        peer.decisions.get(&request.number).map_or(Known::New, |decision| Known::Decided(*decision))
    }

    /// Writes down the decision about a request whose lookup said [`Known::New`].
    pub(super) fn record(&mut self, request: Request, decision: Decision) {
        assert!(self.lookup(request) == Known::New, "a request is decided once");
        if request.term > self.term {
            self.term = request.term;
            self.peers.clear();
        }
        let fresh = Peer { boot: request.boot, floor: 0, decisions: BTreeMap::new() };
        let peer = self.peers.entry(request.from).or_insert_with(|| fresh.clone());
        if request.boot > peer.boot {
            *peer = fresh;
        }
        peer.decisions.insert(request.number, decision);
        let floor = request.number.saturating_sub(FORWARD_WINDOW - 1);
        if floor > peer.floor {
            peer.floor = floor;
            peer.decisions = peer.decisions.split_off(&floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Incarnation, Index, NodeId};

    fn request(term: u64, from: u64, boot: u64, number: u64) -> Request {
        let from = Member { id: NodeId(from), incarnation: Incarnation(1) };
        Request { term: Term(term), from, boot: Boot(boot), number }
    }

    fn accepted(index: u64) -> Decision {
        Decision::Accepted(LogId { term: Term(5), index: Index(index) })
    }

    #[test]
    fn a_second_copy_gets_the_first_answer() {
        let mut intake = Intake::default();
        assert_eq!(intake.lookup(request(5, 2, 1, 1)), Known::New);
        intake.record(request(5, 2, 1, 1), accepted(10));
        intake.record(request(5, 2, 1, 2), Decision::Refused("busy"));
        assert_eq!(intake.lookup(request(5, 2, 1, 1)), Known::Decided(accepted(10)));
        assert_eq!(intake.lookup(request(5, 2, 1, 2)), Known::Decided(Decision::Refused("busy")));
        // Another peer's request of the same number is another request.
        assert_eq!(intake.lookup(request(5, 3, 1, 1)), Known::New);
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_not_new() {
        let mut intake = Intake::default();
        for number in 1..=FORWARD_WINDOW + 10 {
            intake.record(request(5, 2, 1, number), accepted(number));
        }
        assert!(intake.peers.values().map(|peer| peer.decisions.len() as u64).eq([FORWARD_WINDOW]));
        assert_eq!(intake.lookup(request(5, 2, 1, 10)), Known::Forgotten);
        assert_eq!(intake.lookup(request(5, 2, 1, 11)), Known::Decided(accepted(11)));
        // Numbers at the end of the integers hurt only the peer that makes them up.
        intake.record(request(5, 2, 1, u64::MAX), accepted(1));
        assert_eq!(intake.lookup(request(5, 2, 1, FORWARD_WINDOW)), Known::Forgotten);
    }

    #[test]
    fn a_restarted_peer_starts_over_and_its_old_messages_are_forgotten() {
        let mut intake = Intake::default();
        intake.record(request(5, 2, 1, 7), accepted(10));
        assert_eq!(intake.lookup(request(5, 2, 2, 7)), Known::New);
        intake.record(request(5, 2, 2, 7), accepted(11));
        assert_eq!(intake.lookup(request(5, 2, 1, 8)), Known::Forgotten);
        assert_eq!(intake.lookup(request(5, 2, 2, 7)), Known::Decided(accepted(11)));
    }

    #[test]
    fn a_new_term_starts_over_and_old_terms_are_forgotten() {
        let mut intake = Intake::default();
        intake.record(request(5, 2, 1, 7), accepted(10));
        assert_eq!(intake.lookup(request(6, 2, 1, 7)), Known::New);
        intake.record(request(6, 2, 1, 8), accepted(11));
        assert_eq!(intake.lookup(request(5, 2, 1, 7)), Known::Forgotten);
        assert_eq!(intake.lookup(request(5, 2, 1, 9)), Known::Forgotten);
    }

    #[test]
    fn peers_are_bounded() {
        let mut intake = Intake::default();
        for peer in 0..FORWARD_PEERS_MAX as u64 {
            intake.record(request(5, peer, 1, 1), accepted(1));
        }
        assert_eq!(intake.lookup(request(5, 9_999, 1, 1)), Known::Forgotten);
        assert_eq!(intake.lookup(request(5, 3, 1, 2)), Known::New);
    }
}
