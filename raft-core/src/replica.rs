//! The core joined with a state machine: sessions, forwarding, reads, the write queue. Both hosts run it.

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::action::{RoleChange, Status};
use crate::config::Config;
use crate::error::{Refused, RestoreError, Violation};
use crate::journal::{Batch, Journal};
use crate::message::Envelope;
use crate::raft::Raft;
use crate::types::{Index, Instant};
use crate::write::Restored;

/// What the user replicates: deterministic, without I/O.
pub trait StateMachine {
    /// Changes the state.
    type Command: Serialize + DeserializeOwned + Clone;
    /// What a command answers.
    type Response: Serialize + DeserializeOwned + Clone;
    /// Asks the state, changing nothing.
    type Query: Clone;
    /// What a query answers.
    type Answer;
    /// Applies a committed command. `index` grows from call to call.
    fn apply(&mut self, index: Index, command: Self::Command) -> Self::Response;
    /// Answers a query.
    fn query(&self, query: Self::Query) -> Self::Answer;
    /// A digest of the state, equal on equal states, if there is one: the simulator compares replicas by it.
    fn digest(&self) -> Option<u64> {
        None
    }
}

/// A client's session: the index of the entry that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct SessionId(pub u64);

/// Which of a session's requests a command is (thesis §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct SessionRequest {
    /// The session.
    pub session: SessionId,
    /// Numbers the session's commands; a retry repeats the number.
    pub sequence: u64,
    /// The client has the answers to all its commands below this one: their responses may be forgotten.
    pub unanswered: u64,
}

/// Names a request at the replica where it was made; ends in exactly one `Reply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R, A> {
    /// Applied, once; the response.
    Done(R),
    /// The session is open.
    Opened(SessionId),
    /// A query's answer.
    Answer(A),
    /// It will never be applied by this request.
    Lost,
    /// It may or may not be applied, now or later.
    Unknown,
    /// It was not accepted, and had no effect.
    Refused(Refused),
    /// The session is gone. The command was not applied by this request; an earlier try of it may have been.
    Expired,
}

/// What the host must do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum ReplicaAction<R, A> {
    /// Send it.
    Send(Envelope),
    /// Perform the batch; then `handle_batch_done` or `handle_disk_failed`.
    Disk(Batch),
    /// A request ended.
    Reply(Ticket, Outcome<R, A>),
    /// The node's role, term or leader changed.
    RoleChanged(RoleChange),
}

/// Bounds of the replica, beside the core's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// The core's.
    pub raft: Config,
    /// Open sessions at most; the one unused for the longest part of the log goes first.
    pub sessions_max: usize,
    /// Bytes of kept responses at most, over all sessions.
    pub session_bytes_max: u64,
    /// Requests under way at most.
    pub tickets_max: usize,
    /// Whether a follower passes proposals on to the leader.
    pub forwarding: bool,
    /// A forward without an answer is sent again after this span, to the same leader of the same term only.
    pub forward_retry: crate::types::Span,
}

impl Default for ReplicaConfig {
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            raft: Config::default(),
            sessions_max: 65_536,
            session_bytes_max: 64 << 20,
            tickets_max: 65_536,
            forwarding: true,
            forward_retry: crate::types::Span::from_millis(200),
        }
    }
}

/// One member, whole: core, journal, sessions and the user's state machine.
#[derive(Clone, Debug)]
pub struct Replica<S: StateMachine> {
    state: S,
    raft: Raft,
}

#[allow(clippy::todo, unused_variables, missing_docs)]
impl<S: StateMachine> Replica<S> {
    pub fn new(
        config: ReplicaConfig,
        journal: Journal,
        disk: Restored,
        state: S,
        now: Instant,
        seed: u64,
    ) -> Result<Replica<S>, RestoreError> {
        todo!()
    }
    pub fn handle_message(&mut self, now: Instant, envelope: Envelope) -> Result<(), Violation> {
        todo!()
    }
    pub fn tick(&mut self, now: Instant) {
        todo!()
    }
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        todo!()
    }
    pub fn handle_batch_done(&mut self, now: Instant) {
        todo!()
    }
    pub fn handle_disk_failed(&mut self, now: Instant) {
        todo!()
    }
    pub fn open_session(&mut self, now: Instant) -> Ticket {
        todo!()
    }
    pub fn propose(&mut self, now: Instant, request: Option<SessionRequest>, command: S::Command) -> Ticket {
        todo!()
    }
    /// A linearizable query, on any member.
    pub fn query(&mut self, now: Instant, query: S::Query) -> Ticket {
        todo!()
    }
    #[must_use]
    pub fn poll_action(&mut self) -> Option<ReplicaAction<S::Response, S::Answer>> {
        todo!()
    }
    #[must_use]
    pub fn status(&self) -> Status {
        self.raft.status()
    }
    #[must_use]
    pub fn raft(&self) -> &Raft {
        &self.raft
    }
    /// The state, as applied so far: for stale reads.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }
    #[must_use]
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }
    /// Requests that have no reply yet.
    #[must_use]
    pub fn pending(&self) -> Vec<Ticket> {
        todo!()
    }
}
