//! What handles ask of the event loop.

use raft_core::Index;
use raft_core::Refused;
use raft_core::replica::{Outcome, OutcomeOf, SessionId, SessionRequest, StateMachine};
use tokio::sync::oneshot;

use crate::error::{ProposeError, QueryError};
use crate::secure::Connection;
use crate::status::LogLine;

/// Where an answer goes. Whoever asked may be gone by then, which is no error.
type Reply<T> = oneshot::Sender<T>;

/// What a handle asks.
pub(crate) enum Request<S: StateMachine> {
    Propose {
        request: Option<SessionRequest>,
        command: S::Command,
        reply: Reply<Result<S::Response, ProposeError>>,
    },
    Open {
        reply: Reply<Result<SessionId, ProposeError>>,
    },
    Query {
        query: S::Query,
        reply: Reply<Result<S::Answer, QueryError>>,
    },
    QueryStale {
        query: S::Query,
        reply: Reply<Result<S::Answer, QueryError>>,
    },
    Publish {
        reply: Reply<()>,
    },
    Connections {
        reply: Reply<Vec<Connection>>,
    },
    Dropped {
        reply: Reply<Vec<(&'static str, u64)>>,
    },
    Log {
        from: Index,
        limit: usize,
        reply: Reply<Vec<LogLine>>,
    },
    Shutdown,
}

impl<S: StateMachine> std::fmt::Debug for Request<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

impl<S: StateMachine> Request<S> {
    /// Tells whoever asks that the node has stopped, and that nothing happened.
    pub(super) fn refuse(self) {
        match self {
            Request::Propose { reply, .. } => drop(reply.send(Err(ProposeError::Stopped))),
            Request::Open { reply } => drop(reply.send(Err(ProposeError::Stopped))),
            Request::Query { reply, .. } | Request::QueryStale { reply, .. } => {
                drop(reply.send(Err(QueryError::Stopped)));
            }
            Request::Publish { .. }
            | Request::Connections { .. }
            | Request::Dropped { .. }
            | Request::Log { .. }
            | Request::Shutdown => {}
        }
    }
}

/// Who waits for a ticket.
pub(super) enum Waiter<S: StateMachine> {
    Propose(Reply<Result<S::Response, ProposeError>>),
    Open(Reply<Result<SessionId, ProposeError>>),
    Query(Reply<Result<S::Answer, QueryError>>),
}

impl<S: StateMachine> Waiter<S> {
    /// Passes an outcome on.
    pub(super) fn answer(self, outcome: OutcomeOf<S>) {
        match self {
            Waiter::Propose(reply) => {
                let result = if let Outcome::Done(response) = outcome { Ok(response) } else { Err(outcome) };
                drop(reply.send(result.map_err(propose_error)));
            }
            Waiter::Open(reply) => {
                let result = if let Outcome::Opened(session) = outcome { Ok(session) } else { Err(outcome) };
                drop(reply.send(result.map_err(propose_error)));
            }
            Waiter::Query(reply) => {
                let result = if let Outcome::Answer(answer) = outcome { Ok(answer) } else { Err(outcome) };
                drop(reply.send(result.map_err(query_error)));
            }
        }
    }
}

fn propose_error<R, A>(outcome: Outcome<R, A>) -> ProposeError {
    match outcome {
        Outcome::Lost => ProposeError::Lost,
        Outcome::Expired => ProposeError::Expired,
        Outcome::Refused(Refused::NotLeader(leader)) => ProposeError::NotLeader(leader),
        Outcome::Refused(Refused::Stopped) => ProposeError::Stopped,
        Outcome::Refused(refused) => ProposeError::Refused(refused),
        // The last three are answers to other kinds of requests: nothing is known of this one then.
        Outcome::Unknown | Outcome::Done(_) | Outcome::Opened(_) | Outcome::Answer(_) => {
            ProposeError::UnknownOutcome
        }
    }
}

fn query_error<R, A>(outcome: Outcome<R, A>) -> QueryError {
    match outcome {
        Outcome::Refused(Refused::Stopped) => QueryError::Stopped,
        Outcome::Refused(refused) => QueryError::Refused(refused),
        Outcome::Lost
        | Outcome::Expired
        | Outcome::Unknown
        | Outcome::Done(_)
        | Outcome::Opened(_)
        | Outcome::Answer(_) => QueryError::Refused(Refused::TimedOut),
    }
}

/// An outcome's name in metrics.
pub(super) fn outcome_name<R, A>(outcome: &Outcome<R, A>) -> &'static str {
    match outcome {
        Outcome::Done(_) => "done",
        Outcome::Opened(_) => "opened",
        Outcome::Answer(_) => "answered",
        Outcome::Lost => "lost",
        Outcome::Unknown => "unknown",
        Outcome::Refused(_) => "refused",
        Outcome::Expired => "expired",
    }
}
