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
    /// Names the newest session that there was between the two when its beginner began this one.
    pub(crate) known: u32,
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
        }
    }

    pub(crate) fn age(&self, now: Instant) -> Span {
        now.since(self.established)
    }

    /// Whether it has ended.
    fn is_over(&self, now: Instant) -> bool {
        now >= self.reject_at || self.sent >= self.reject_count
    }

    /// Whether the peer has used it: it may have forgotten an initiation that it answered.
    pub(crate) fn is_proven(&self) -> bool {
        self.window.has_accepted()
    }

    /// When a successor is due.
    pub(crate) fn rekey_at(&self, now: Instant, secret: u64) -> Instant {
        if self.sent >= self.rekey_count || self.origin.secret != secret { now } else { self.rekey_at }
    }

    /// Seals a payload: the whole datagram.
    pub(crate) fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        let counter = self.sent;
        self.sent += 1;
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
    newest: Newest,
}

/// The newest session that was sent in; it may be gone. Zero: none was.
#[derive(Clone, Copy, Default)]
pub(crate) struct Newest {
    /// As this member names it.
    pub(crate) local: u32,
    /// As the peer names it.
    pub(crate) remote: u32,
}

impl Sessions {
    pub(crate) fn newest(&self) -> Newest {
        self.newest
    }

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
    pub(crate) fn offer(&mut self, session: Session) {
        self.forget_before(session.origin.boot);
        self.next = Some(session);
    }

    /// A session whose other side has proven itself: it sends, unless one that crossed it does.
    ///
    /// Two members may begin at once, and end with two sessions. Both then send in the one that the smaller of them
    /// began.
    pub(crate) fn adopt(&mut self, session: Session, now: Instant, own_is_smaller: bool) {
        self.forget_before(session.origin.boot);
        self.newest = Newest { local: session.origin.local, remote: session.origin.remote };
        let keeps = self.current.as_ref().is_some_and(|held| prefers(held, &session, now, own_is_smaller));
        if keeps {
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

/// Whether an older session is the one to send in although there is a newer: they crossed, and the smaller member began
/// the older one.
fn prefers(held: &Session, newcomer: &Session, now: Instant, own_is_smaller: bool) -> bool {
    // Whoever began the newcomer did not know of the older one.
    newcomer.origin.known != held.origin.local
        && held.is_proven()
        && !held.is_over(now)
        && held.origin.secret == newcomer.origin.secret
        && held.origin.initiator == own_is_smaller
        && newcomer.origin.initiator != own_is_smaller
}
