//! One session, and the three that a peer may have at a time.
//!
//! ```text
//!   answered an initiation          the answer came          superseded
//!        next  ----first datagram----> current ------------> previous ----unused for 30 s----> gone
//!      receives                     sends, receives          receives
//! ```
//!
//! Whoever answered an initiation sends nothing in the new session before he received in it: a replayed initiation
//! can't cut a live session.
//!
//! Each side may believe in a session that the other does not have: an answered one whose first datagram was lost is
//! forgotten after a while. So whoever began a session does not trust it before an answer came in it, and silence is
//! told for each session by itself: what is heard in an older one says nothing of this one.

use raft_core::{Boot, Instant, Span};
use snow::StatelessTransportState;

use super::config::SessionLimits;
use super::datagram::{self, TAG_BYTES, TRANSPORT_AT};
use super::dropped::Dropped;
use super::window::{Stale, Window};

/// How long a superseded session is kept after its last datagram.
const OVERLAP: Span = Span::from_millis(30_000);
/// How long an answered initiation is kept without a first datagram.
const UNCONFIRMED: Span = Span::from_millis(10_000);

/// Where a session comes from.
pub(crate) struct Origin {
    /// Names the session in what the peer sends.
    pub(crate) local: u32,
    /// Names the session in what is sent to the peer.
    pub(crate) remote: u32,
    /// The peer's boot.
    pub(crate) boot: Boot,
    /// Whether this member began it.
    pub(crate) initiator: bool,
    /// Tells the cluster secret that it was made with.
    pub(crate) secret: u64,
    /// Moves the search for a successor, so that a cluster's sessions don't all end at once.
    pub(crate) jitter: u64,
}

/// Keys for both directions between two boots of two members.
pub(crate) struct Session {
    transport: StatelessTransportState,
    pub(crate) origin: Origin,
    established: Instant,
    /// When, and after how many datagrams, a successor is sought.
    rekey_at: Instant,
    rekey_count: u64,
    reject_at: Instant,
    reject_count: u64,
    /// The counter of the next datagram sent.
    sent: u64,
    window: Window,
    /// When the last authentic datagram came; at first, when the session began.
    heard: Instant,
    /// The session in which the peer had already sent when it began this one: the two did not cross.
    succeeds: Option<u32>,
    /// When the oldest datagram that wants an answer was sent that nothing came after.
    unanswered: Option<Instant>,
}

impl Session {
    pub(crate) fn new(
        transport: StatelessTransportState,
        origin: Origin,
        now: Instant,
        limits: &SessionLimits,
    ) -> Session {
        // Whoever began the session seeks the next one, somewhat early; the other only if that does not happen.
        let midway = |rekey: u64, reject: u64| rekey + (reject - rekey) / 2;
        let rekey_age = if origin.initiator {
            limits.rekey_age.0 - origin.jitter % (limits.rekey_age.0 / 16 + 1)
        } else {
            midway(limits.rekey_age.0, limits.reject_age.0)
        };
        let rekey_count = if origin.initiator {
            limits.rekey_count
        } else {
            midway(limits.rekey_count, limits.reject_count)
        };
        Session {
            transport,
            origin,
            established: now,
            rekey_at: now.plus(Span(rekey_age)),
            rekey_count,
            reject_at: now.plus(limits.reject_age),
            reject_count: limits.reject_count,
            sent: 0,
            window: Window::new(),
            heard: now,
            succeeds: None,
            unanswered: None,
        }
    }

    pub(crate) fn age(&self, now: Instant) -> Span {
        now.since(self.established)
    }

    /// Whether it has ended.
    fn is_over(&self, now: Instant) -> bool {
        now >= self.reject_at || self.sent >= self.reject_count
    }

    /// When a successor is due.
    pub(crate) fn rekey_at(&self, now: Instant, secret: u64) -> Instant {
        if self.sent >= self.rekey_count || self.origin.secret != secret { now } else { self.rekey_at }
    }

    /// Since when the peer owes an answer in this session.
    pub(crate) fn unanswered(&self) -> Option<Instant> {
        self.unanswered
    }

    /// Seals a payload: the whole datagram. An empty one wants no answer, but for the one that confirms the session.
    pub(crate) fn seal(&mut self, now: Instant, payload: &[u8]) -> Vec<u8> {
        let counter = self.sent;
        self.sent += 1;
        let confirms = self.origin.initiator && !self.window.has_accepted();
        if confirms || !payload.is_empty() {
            self.unanswered.get_or_insert(now);
        }
        let mut bytes = datagram::transport(self.origin.remote, counter, payload.len() + TAG_BYTES);
        let written = self.transport.write_message(counter, payload, &mut bytes[TRANSPORT_AT..]);
        assert_eq!(written, Ok(payload.len() + TAG_BYTES), "a datagram's payload is within Noise's limit");
        bytes
    }

    /// Opens what was sealed by the peer: the payload's bytes, and whether its counter is the greatest so far.
    fn open(&mut self, counter: u64, sealed: &[u8], opened: &mut [u8]) -> Result<(usize, bool), Dropped> {
        if counter >= self.reject_count {
            return Err(Dropped::TooOld);
        }
        self.window.check(counter).map_err(|stale| match stale {
            Stale::Seen => Dropped::Replayed,
            Stale::TooOld => Dropped::TooOld,
        })?;
        let bytes = self.transport.read_message(counter, sealed, opened).map_err(|_| Dropped::BadTag)?;
        Ok((bytes, self.window.accept(counter)))
    }
}

/// What an authentic datagram did beside carrying a payload.
pub(crate) struct Opened {
    /// Bytes of the payload.
    pub(crate) bytes: usize,
    /// The sender's boot.
    pub(crate) boot: Boot,
    /// Nothing later was received in this session.
    pub(crate) greatest: bool,
    /// It was the first in a session that this member answered: the handshake is complete.
    pub(crate) confirmed: bool,
}

/// The sessions with one peer.
#[derive(Default)]
pub(crate) struct Sessions {
    next: Option<Session>,
    current: Option<Session>,
    previous: Option<Session>,
}

impl Sessions {
    /// The session to send in.
    pub(crate) fn current(&self) -> Option<&Session> {
        self.current.as_ref()
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut Session> {
        self.current.as_mut()
    }

    pub(crate) fn owns(&self, local: u32) -> bool {
        [&self.next, &self.current, &self.previous]
            .into_iter()
            .flatten()
            .any(|session| session.origin.local == local)
    }

    /// A session that this member answered: it receives.
    pub(crate) fn offer(&mut self, mut session: Session) {
        let heard = self.current.as_ref().filter(|current| current.window.has_accepted());
        session.succeeds = heard.map(|current| current.origin.local);
        self.forget_before(session.origin.boot);
        self.next = Some(session);
    }

    /// A session whose other side has proven itself: it sends, unless one that crossed it does.
    ///
    /// Two members may begin at once, and end with two sessions. Both then send in the one that the smaller of them
    /// began:
    ///
    /// 1. The larger has the answer to its own initiation, or it would have given that up for the smaller's session.
    ///    So the smaller's session is the later one here, and the later one sends.
    /// 2. The smaller has both answers in any order. It prefers its own session to the other, but only once the peer
    ///    sent in it: until then the peer may never have got it, or have forgotten it.
    /// 3. Had the peer sent in the smaller's session when it began the other, it wants a successor: the later one sends.
    pub(crate) fn adopt(&mut self, session: Session, now: Instant, own_is_smaller: bool) {
        self.forget_before(session.origin.boot);
        if self.current.as_ref().is_some_and(|held| prefers(held, &session, now, own_is_smaller)) {
            self.previous = Some(session);
        } else {
            self.previous = self.current.replace(session).or(self.previous.take());
        }
    }

    /// A boot of the peer has none of the sessions of an earlier one, and what those carried is of the past.
    fn forget_before(&mut self, boot: Boot) {
        for slot in [&mut self.next, &mut self.current, &mut self.previous] {
            slot.take_if(|held| held.origin.boot < boot);
        }
    }

    /// Opens a datagram in the session that it names.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        (local, counter, sealed): (u32, u64, &[u8]),
        own_is_smaller: bool,
        opened: &mut [u8],
    ) -> Result<Opened, Dropped> {
        let named =
            |slot: &Option<Session>| slot.as_ref().is_some_and(|session| session.origin.local == local);
        let confirmed = named(&self.next);
        let superseded = named(&self.previous);
        let slot = [&mut self.next, &mut self.current, &mut self.previous]
            .into_iter()
            .flatten()
            .find(|session| session.origin.local == local);
        let Some(session) = slot.filter(|session| !session.is_over(now)) else {
            return Err(Dropped::WrongSession);
        };
        let (bytes, greatest) = session.open(counter, sealed, opened)?;
        session.heard = now;
        session.unanswered = None;
        let boot = session.origin.boot;
        if confirmed && let Some(session) = self.next.take() {
            self.adopt(session, now, own_is_smaller);
        } else if superseded
            && let (Some(previous), Some(current)) = (&self.previous, &self.current)
            && prefers(previous, current, now, own_is_smaller)
        {
            std::mem::swap(&mut self.previous, &mut self.current);
        }
        Ok(Opened { bytes, boot, greatest, confirmed })
    }

    /// Forgets what has ended.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.next.take_if(|next| next.is_over(now) || now >= next.established.plus(UNCONFIRMED));
        self.current.take_if(|current| current.is_over(now));
        self.previous.take_if(|previous| previous.is_over(now) || now >= previous.heard.plus(OVERLAP));
    }

    /// When something will have ended.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        let next = self.next.as_ref().map(|next| next.reject_at.min(next.established.plus(UNCONFIRMED)));
        let current = self.current.as_ref().map(|current| current.reject_at);
        let previous =
            self.previous.as_ref().map(|previous| previous.reject_at.min(previous.heard.plus(OVERLAP)));
        [next, current, previous].into_iter().flatten().min()
    }
}

/// Whether an older session is the one to send in although there is a newer: see [`Sessions::adopt`].
fn prefers(held: &Session, newcomer: &Session, now: Instant, own_is_smaller: bool) -> bool {
    own_is_smaller
        && held.origin.initiator
        && !newcomer.origin.initiator
        && held.window.has_accepted()
        && newcomer.succeeds != Some(held.origin.local)
        && !held.is_over(now)
}
