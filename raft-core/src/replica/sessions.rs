//! Who has asked for what already (thesis §6.3): a command that is committed twice is applied once.
//!
//! The table is a function of the log alone: its bounds, and the order in which sessions expire, use indexes and
//! never clocks, so that every member forgets the same session at the same entry.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{SessionId, SessionRequest};
use crate::types::Index;

/// What a kept response counts beside its bytes, so that a million empty ones are not free.
pub const RESPONSE_OVERHEAD_BYTES: u64 = 32;

/// What becomes of a session's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Not seen before: apply it, then [`record`](Sessions::record) the response.
    Fresh,
    /// Applied before, and this was the response. It must not be applied again.
    Duplicate(Bytes),
    /// The session, or this answer in it, is forgotten: nobody knows whether it was applied. It must not be now.
    Expired,
}

/// The open sessions.
///
/// Invariant: `by_use` holds each open session exactly once, under its `last_use`; `bytes` is the size of all kept
/// responses; `open.len() <= sessions_max` and `bytes <= bytes_max` after every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    open: BTreeMap<SessionId, Session>,
    by_use: BTreeMap<Index, SessionId>,
    bytes: u64,
    digest: u64,
    sessions_max: usize,
    bytes_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    /// The last entry that used it.
    last_use: Index,
    /// The client has all answers below this; no response is kept below it.
    unanswered: u64,
    /// By sequence.
    responses: BTreeMap<u64, Bytes>,
}

impl Sessions {
    /// No sessions. The bounds must be the same on all members, or they forget different sessions.
    #[must_use]
    pub fn new(sessions_max: usize, bytes_max: u64) -> Sessions {
        Sessions {
            open: BTreeMap::new(),
            by_use: BTreeMap::new(),
            bytes: 0,
            digest: 0,
            sessions_max,
            bytes_max,
        }
    }

    /// Opens the session of the entry at `index`; the one unused for the longest part of the log may expire for it.
    ///
    /// # Panics
    /// If `index` is not above that of every earlier use.
    pub fn open(&mut self, index: Index) -> SessionId {
        let id = SessionId(index.0);
        let session = Session { last_use: index, unanswered: 0, responses: BTreeMap::new() };
        self.digest = self.digest.wrapping_add(session.digest(id));
        self.open.insert(id, session);
        self.enqueue(id, index);
        while self.open.len() > self.sessions_max {
            self.expire_oldest();
        }
        id
    }

    /// Decides about the command of the entry at `index`. Any use keeps a session from expiring, a refused one too.
    ///
    /// # Panics
    /// If `index` is not above that of every earlier use.
    pub fn claim(&mut self, index: Index, request: SessionRequest) -> Claim {
        // A session that is not known is never opened again here: what was applied in it is forgotten, so a
        // retry could be applied twice.
        let Some(session) = self.open.get_mut(&request.session) else {
            return Claim::Expired;
        };
        self.digest = self.digest.wrapping_sub(session.digest(request.session));
        self.by_use.remove(&session.last_use);
        session.last_use = index;
        let answered = session.responses.get(&request.sequence).cloned();
        if request.unanswered > session.unanswered {
            session.unanswered = request.unanswered;
            let kept = session.responses.split_off(&request.unanswered);
            for (sequence, response) in core::mem::replace(&mut session.responses, kept) {
                self.bytes -= response_size(&response);
                self.digest = self.digest.wrapping_sub(response_digest(request.session, sequence, &response));
            }
        }
        let forgotten = request.sequence < session.unanswered;
        self.digest = self.digest.wrapping_add(session.digest(request.session));
        self.enqueue(request.session, index);
        match answered {
            Some(response) => Claim::Duplicate(response),
            None if forgotten => Claim::Expired,
            None => Claim::Fresh,
        }
    }

    /// Keeps the response of a command whose claim was [`Claim::Fresh`]. The sessions unused for the longest part of
    /// the log expire until the bytes fit; the last to go would be this one.
    ///
    /// # Panics
    /// If the request was not claimed just before.
    pub fn record(&mut self, request: SessionRequest, response: Bytes) {
        let session = self.open.get_mut(&request.session).expect("its claim found the session");
        self.bytes += response_size(&response);
        self.digest = self.digest.wrapping_add(response_digest(request.session, request.sequence, &response));
        let before = session.responses.insert(request.sequence, response);
        assert!(before.is_none(), "a request is recorded once");
        while self.bytes > self.bytes_max {
            self.expire_oldest();
        }
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// What all kept responses count; see [`RESPONSE_OVERHEAD_BYTES`].
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the session is open.
    #[must_use]
    pub fn contains(&self, session: SessionId) -> bool {
        self.open.contains_key(&session)
    }

    /// A digest of the table, equal on equal tables, kept up to date at each change: replicas that have applied
    /// the same entries must agree on it.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The table's bytes, in postcard, for a snapshot.
    pub(super) fn encode(&self) -> Vec<u8> {
        let table: Vec<_> = self.open.iter().map(|(id, session)| (*id, session)).collect();
        postcard::to_allocvec(&table)
            .expect("a vector grows, and the types have only shapes that postcard knows")
    }

    /// Reads [`encode`](Sessions::encode)'s bytes. None if they are not such, or break the table's invariant: two sessions
    /// with one last use, or more than the bounds allow.
    pub(super) fn decode(bytes: &[u8], sessions_max: usize, bytes_max: u64) -> Option<Sessions> {
        let table: Vec<(SessionId, Session)> = super::command::decode_all(bytes).ok()?;
        let mut sessions = Sessions::new(sessions_max, bytes_max);
        for (id, session) in table {
            sessions.digest = sessions.digest.wrapping_add(session.digest(id));
            for (sequence, response) in &session.responses {
                sessions.bytes += response_size(response);
                sessions.digest = sessions.digest.wrapping_add(response_digest(id, *sequence, response));
            }
            let is_first = sessions.by_use.insert(session.last_use, id).is_none();
            if !is_first || sessions.open.insert(id, session).is_some() {
                return None;
            }
        }
        (sessions.open.len() <= sessions_max && sessions.bytes <= bytes_max).then_some(sessions)
    }

    fn enqueue(&mut self, session: SessionId, index: Index) {
        let last = self.by_use.last_key_value();
        assert!(last.is_none_or(|(last, _)| *last < index), "entries are applied in order");
        self.by_use.insert(index, session);
    }

    fn expire_oldest(&mut self) {
        let (_, id) = self.by_use.pop_first().expect("only called while there are sessions");
        let session = self.open.remove(&id).expect("each in by_use is open");
        self.digest = self.digest.wrapping_sub(session.digest(id));
        for (sequence, response) in &session.responses {
            self.bytes -= response_size(response);
            self.digest = self.digest.wrapping_sub(response_digest(id, *sequence, response));
        }
    }
}

impl Session {
    /// Of all but the responses, which are digested one by one.
    fn digest(&self, id: SessionId) -> u64 {
        digest_of([id.0, self.last_use.0, self.unanswered])
    }
}

fn response_size(response: &Bytes) -> u64 {
    response.len() as u64 + RESPONSE_OVERHEAD_BYTES
}

fn response_digest(session: SessionId, sequence: u64, response: &Bytes) -> u64 {
    digest_of([session.0, sequence, xxh3_64(response), 1])
}

fn digest_of<const N: usize>(words: [u64; N]) -> u64 {
    xxh3_64(words.map(u64::to_le_bytes).as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(session: SessionId, sequence: u64, unanswered: u64) -> SessionRequest {
        SessionRequest { session, sequence, unanswered }
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_retry_gets_the_first_answer_and_is_not_applied() {
        let mut sessions = Sessions::new(2, 1_000);
        let a = sessions.open(Index(1));
        assert_eq!(a, SessionId(1));
        let first = request(a, 1, 1);
        assert_eq!(sessions.claim(Index(2), first), Claim::Fresh);
        sessions.record(first, bytes("one"));
        assert_eq!(sessions.claim(Index(3), first), Claim::Duplicate(bytes("one")));
        assert_eq!(sessions.claim(Index(4), request(a, 2, 1)), Claim::Fresh);
    }

    #[test]
    fn several_requests_may_be_open_and_come_in_any_order() {
        let mut sessions = Sessions::new(2, 1_000);
        let a = sessions.open(Index(1));
        for (index, sequence) in [(2, 3), (3, 1), (4, 2)] {
            assert_eq!(sessions.claim(Index(index), request(a, sequence, 1)), Claim::Fresh);
            sessions.record(request(a, sequence, 1), bytes("x"));
        }
        assert_eq!(sessions.bytes(), 3 * (1 + RESPONSE_OVERHEAD_BYTES));
        // The client has the answers to 1 and 2; only that of 3 is kept.
        assert_eq!(sessions.claim(Index(5), request(a, 4, 3)), Claim::Fresh);
        sessions.record(request(a, 4, 3), bytes("y"));
        assert_eq!(sessions.bytes(), 2 * (1 + RESPONSE_OVERHEAD_BYTES));
        assert_eq!(sessions.claim(Index(6), request(a, 3, 1)), Claim::Duplicate(bytes("x")));
        // A late copy of a command whose answer the client has: neither applied nor answered.
        assert_eq!(sessions.claim(Index(7), request(a, 2, 1)), Claim::Expired);
    }

    #[test]
    fn an_unknown_session_is_expired_and_stays_unknown() {
        let mut sessions = Sessions::new(2, 1_000);
        assert_eq!(sessions.claim(Index(5), request(SessionId(3), 1, 1)), Claim::Expired);
        assert_eq!(sessions.claim(Index(6), request(SessionId(3), 1, 1)), Claim::Expired);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn the_session_unused_for_the_longest_part_of_the_log_expires() {
        let mut sessions = Sessions::new(2, 1_000);
        let a = sessions.open(Index(1));
        let b = sessions.open(Index(2));
        assert_eq!(sessions.claim(Index(3), request(a, 1, 1)), Claim::Fresh);
        sessions.record(request(a, 1, 1), bytes("x"));
        let c = sessions.open(Index(4));
        assert!(sessions.contains(a) && !sessions.contains(b) && sessions.contains(c));
        assert_eq!(sessions.claim(Index(5), request(b, 1, 1)), Claim::Expired);
        // A duplicate is a use as well.
        assert_eq!(sessions.claim(Index(6), request(a, 1, 1)), Claim::Duplicate(bytes("x")));
        sessions.open(Index(7));
        assert!(sessions.contains(a) && !sessions.contains(c));
    }

    #[test]
    fn bytes_are_bounded_even_if_one_answer_is_too_much() {
        let mut sessions = Sessions::new(10, 2 * (1 + RESPONSE_OVERHEAD_BYTES));
        let a = sessions.open(Index(1));
        let b = sessions.open(Index(2));
        for (index, session, sequence) in [(3, a, 1), (4, b, 1), (5, b, 2)] {
            assert_eq!(sessions.claim(Index(index), request(session, sequence, 1)), Claim::Fresh);
            sessions.record(request(session, sequence, 1), bytes("x"));
        }
        assert!(!sessions.contains(a), "the oldest gave way");
        assert!(sessions.contains(b));
        assert_eq!(sessions.claim(Index(6), request(b, 3, 1)), Claim::Fresh);
        sessions.record(request(b, 3, 1), bytes("a response that fits nowhere"));
        assert_eq!((sessions.count(), sessions.bytes(), sessions.digest()), (0, 0, 0));
        // Its retry is not applied a second time.
        assert_eq!(sessions.claim(Index(7), request(b, 3, 1)), Claim::Expired);
    }

    #[test]
    fn equal_tables_have_equal_digests_and_different_ones_differ() {
        let run = |response: &'static str| {
            let mut sessions = Sessions::new(2, 1_000);
            let a = sessions.open(Index(1));
            assert_eq!(sessions.claim(Index(2), request(a, 1, 1)), Claim::Fresh);
            sessions.record(request(a, 1, 1), bytes(response));
            sessions
        };
        assert_eq!(run("x"), run("x"));
        assert_eq!(run("x").digest(), run("x").digest());
        assert_ne!(run("x").digest(), run("y").digest());
        let mut used = run("x");
        let before = used.digest();
        assert_eq!(used.claim(Index(3), request(SessionId(1), 1, 1)), Claim::Duplicate(bytes("x")));
        assert_ne!(used.digest(), before, "the order of expiry is part of the table");
    }
}
