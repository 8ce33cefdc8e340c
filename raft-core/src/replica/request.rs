//! What a client asks, and how it ends.

use serde::{Deserialize, Serialize};

use super::state_machine::StateMachine;
use crate::error::Refused;

/// A client's session: the index of the entry that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// Which of a session's requests a command is (thesis §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionRequest {
    /// The session.
    pub session: SessionId,
    /// Numbers the session's commands; a retry repeats the number.
    pub sequence: u64,
    /// The client has the answers to all its commands below this one: their responses may be forgotten. At most
    /// `sequence`; a request that says that its own answer is there already ends in [`Outcome::Expired`].
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
    /// The session is gone. The command was not applied by this request; an earlier try of it may have been, so to a
    /// client that tried more than once this is as good as [`Unknown`](Outcome::Unknown).
    Expired,
}

/// The outcome of a request to a state machine.
pub type OutcomeOf<S> = Outcome<<S as StateMachine>::Response, <S as StateMachine>::Answer>;
