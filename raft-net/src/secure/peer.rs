//! One peer: its sessions, the handshake under way, what waits for a session, and when something is due.

use std::collections::VecDeque;
use std::net::SocketAddr;

use raft_core::{Boot, Instant, Span};

use super::config::Peer;
use super::handshake::Initiating;
use super::session::Sessions;

/// Payloads that wait for a session at most; the oldest go first, as Raft sends again what matters.
pub(crate) const WAITING_MAX: usize = 32;
/// An initiation without an answer is followed by another after this span, then twice it, and so on.
const RETRY_MIN: Span = Span::from_millis(100);
/// The longest span between two initiations, jitter aside: with it 800 ms, inside an election timeout of a second.
/// An answer is taken to the last initiation only, so a round trip must fit into three quarters of this.
const RETRY_MAX: Span = Span::from_millis(640);
/// A payload was received and nothing sent for this long: an empty datagram says that this member is there.
const KEEPALIVE: Span = Span::from_millis(100);
/// Something was sent in a session and nothing received in it for this long: perhaps the peer lost it. Longer than
/// [`KEEPALIVE`] by a round trip; where that takes more than 400 ms, handshakes are made without need.
const SILENCE: Span = Span::from_millis(500);

/// A handshake without an answer yet.
pub(crate) struct Pending {
    /// Names the handshake in the answer.
    pub(crate) local: u32,
    pub(crate) initiating: Initiating,
    /// Tells the cluster secret that it was begun with.
    pub(crate) secret: u64,
}

/// Everything about one peer. Its size is bounded: three sessions, one handshake, [`WAITING_MAX`] payloads.
pub(crate) struct PeerState {
    pub(crate) peer: Peer,
    /// Where the peer was last heard; at first, where the table says.
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Sessions,
    pub(crate) pending: Option<Pending>,
    /// Initiations since the last success.
    pub(crate) attempts: u32,
    /// No initiation before this.
    pub(crate) retry_at: Instant,
    /// The newest of the peer's handshakes: its boot, and its number, which is 0 for an answer.
    pub(crate) newest: (Boot, u64),
    /// When the oldest payload came that nothing was sent after.
    unreturned: Option<Instant>,
    waiting: VecDeque<Vec<u8>>,
    pub(crate) traffic: Traffic,
}

/// Counters of a peer since it entered the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Handshakes completed.
    pub handshakes: u64,
    /// Initiations sent.
    pub initiations: u64,
    /// Datagrams sealed, and their payloads' bytes.
    pub sealed: u64,
    /// See `sealed`.
    pub sealed_bytes: u64,
    /// Authentic datagrams, and their payloads' bytes.
    pub opened: u64,
    /// See `opened`.
    pub opened_bytes: u64,
    /// Payloads dropped because too many waited, for a session or for the socket.
    pub unsent: u64,
}

impl PeerState {
    pub(crate) fn new(peer: Peer, now: Instant) -> PeerState {
        PeerState {
            address: peer.address,
            peer,
            sessions: Sessions::default(),
            pending: None,
            attempts: 0,
            retry_at: now,
            newest: (Boot(0), 0),
            unreturned: None,
            waiting: VecDeque::new(),
            traffic: Traffic::default(),
        }
    }

    pub(crate) fn owns(&self, local: u32) -> bool {
        self.sessions.owns(local) || self.pending.as_ref().is_some_and(|pending| pending.local == local)
    }

    /// Keeps a payload until there is a session.
    pub(crate) fn wait(&mut self, payload: &[u8]) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.traffic.unsent += 1;
        }
        self.waiting.push_back(payload.to_vec());
    }

    pub(crate) fn take_waiting(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.waiting)
    }

    /// Notes a datagram sent in a session.
    pub(crate) fn note_sealed(&mut self, payload_bytes: usize) {
        self.unreturned = None;
        self.traffic.sealed += 1;
        self.traffic.sealed_bytes += payload_bytes as u64;
    }

    /// Notes an authentic datagram.
    pub(crate) fn note_opened(&mut self, now: Instant, payload_bytes: usize) {
        if payload_bytes > 0 {
            self.unreturned.get_or_insert(now);
        }
        self.traffic.opened += 1;
        self.traffic.opened_bytes += payload_bytes as u64;
    }

    /// A handshake is complete, whoever began it.
    pub(crate) fn note_handshake(&mut self) {
        self.pending = None;
        self.attempts = 0;
        self.retry_at = Instant(0);
        self.traffic.handshakes += 1;
    }

    /// An initiation leaves: the next one later, and later each time. `jitter` is any number.
    pub(crate) fn note_initiation(&mut self, now: Instant, jitter: u64) {
        let doubled = RETRY_MIN.0.saturating_mul(1 << self.attempts.min(16)).min(RETRY_MAX.0);
        // From three quarters to five quarters of the span.
        let span = doubled - doubled / 4 + jitter % (doubled / 2 + 1);
        self.retry_at = now.plus(Span(span));
        self.attempts = self.attempts.saturating_add(1);
        self.traffic.initiations += 1;
    }

    /// The peer's initiation was answered: it will complete the handshake sooner than another would.
    pub(crate) fn note_answered(&mut self, now: Instant) {
        self.retry_at = self.retry_at.max(now.plus(RETRY_MIN));
    }

    /// Where the next initiation goes: where the peer was heard, and where the table says, by turns.
    pub(crate) fn initiation_address(&self) -> SocketAddr {
        if self.attempts.is_multiple_of(2) { self.address } else { self.peer.address }
    }

    /// When the next initiation is due: at once without a session, else when a successor is due or the peer is
    /// silent.
    pub(crate) fn initiation_at(&self, now: Instant, secret: u64) -> Instant {
        let wanted = match self.sessions.current() {
            None => Instant(0),
            Some(session) => {
                let rekey = session.rekey_at(now, secret);
                session.unanswered().map_or(rekey, |since| rekey.min(since.plus(SILENCE)))
            }
        };
        wanted.max(self.retry_at)
    }

    /// When an empty datagram is due.
    pub(crate) fn keepalive_at(&self) -> Option<Instant> {
        self.sessions.current().and(self.unreturned).map(|since| since.plus(KEEPALIVE))
    }

    /// When [`Secure::tick`](super::Secure::tick) next matters to this peer.
    pub(crate) fn due_at(&self, now: Instant, secret: u64) -> Instant {
        let rest = [self.keepalive_at(), self.sessions.expires_at()].into_iter().flatten().min();
        let initiation = self.initiation_at(now, secret);
        rest.map_or(initiation, |rest| rest.min(initiation))
    }
}
