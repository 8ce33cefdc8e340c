//! A client: one operation at a time, retried under the same number of its session.

use raft_core::replica::{SessionId, SessionRequest};

use crate::choices::Stream;
use crate::machine::Machine;
use crate::workload::{AskOf, OperationHandle};

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct Client<S: Machine> {
    pub(crate) stream: Stream,
    /// Its name in the history; a new one after each unknown outcome.
    pub(crate) process: u64,
    pub(crate) sessionless: bool,
    /// It stays with its node, whatever that says, until the run is closing.
    pub(crate) sticks: bool,
    pub(crate) session: Option<SessionId>,
    /// The last number used in the session.
    pub(crate) sequence: u64,
    /// Numbers what it waits for; what comes under an old number is late.
    pub(crate) token: u32,
    pub(crate) doing: Doing<S>,
    /// Whom it asks, until it has a reason to leave.
    pub(crate) node: usize,
    /// So many operations follow at once.
    pub(crate) burst: u32,
    /// So many attempts in a row were not answered in time.
    pub(crate) vain: u32,
    /// How many closing operations are done, in the second phase.
    pub(crate) closing: u32,
    pub(crate) finished: bool,
}

/// What a client is doing.
#[derive(Clone, Debug)]
pub(crate) enum Doing<S: Machine> {
    /// Until its timer.
    Thinking,
    /// It waits for a session.
    Opening,
    /// It waits for an answer.
    Asking(Box<Asking<S>>),
}

/// An operation under way.
#[derive(Clone, Debug)]
pub(crate) struct Asking<S: Machine> {
    pub(crate) ask: AskOf<S>,
    pub(crate) operation: OperationHandle,
    pub(crate) request: Option<SessionRequest>,
    pub(crate) attempts: u32,
    /// An attempt so far may have had an effect, or may have one yet.
    pub(crate) maybe: bool,
    /// It waits before the next attempt.
    pub(crate) resting: bool,
    /// One of the closing operations.
    pub(crate) closing: bool,
}

impl<S: Machine> Client<S> {
    pub(crate) fn new(stream: Stream, process: u64, sessionless: bool, sticks: bool) -> Client<S> {
        Client {
            stream,
            process,
            sessionless,
            sticks,
            session: None,
            sequence: 0,
            token: 0,
            doing: Doing::Thinking,
            node: 0,
            burst: 0,
            vain: 0,
            closing: 0,
            finished: false,
        }
    }

    /// From now on it waits for something else.
    pub(crate) fn next_token(&mut self) -> u32 {
        self.token += 1;
        self.token
    }
}
