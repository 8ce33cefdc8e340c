//! Why a request has no good answer: one type for HTTP, the line protocol and the command line.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The kinds that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request makes no sense.
    BadRequest,
    /// The token is missing or wrong.
    Unauthorized,
    /// A web page of somebody else asked.
    Forbidden,
    /// There is no such key, or no such route.
    NotFound,
    /// The route exists, with another method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    TooSlow,
    /// The state is not as the command needs it.
    Conflict,
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed,
    /// The command is too large.
    TooLarge,
    /// Another node leads, and forwarding is off.
    NotLeader,
    /// Not now, and nothing happened: no leader, no quorum, too much to do, or this node has stopped.
    Unavailable,
    /// It may or may not have happened, or may happen yet.
    Unknown,
}

impl Kind {
    /// The HTTP status.
    pub(crate) fn status(self) -> u16 {
        match self {
            Kind::BadRequest => 400,
            Kind::Unauthorized => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::MethodNotAllowed => 405,
            Kind::TooSlow => 408,
            Kind::Conflict => 409,
            Kind::PreconditionFailed => 412,
            Kind::TooLarge => 413,
            Kind::NotLeader => 307,
            Kind::Unavailable => 503,
            Kind::Unknown => 504,
        }
    }

    /// What a command-line client ends with, by the HTTP status that it got.
    pub(crate) fn exit_of_status(status: u16) -> Exit {
        match status {
            200..=299 => Exit::Ok,
            404 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            307 | 503 => Exit::Unavailable,
            504 => Exit::Unknown,
            400 | 413 => Exit::Usage,
            _ => Exit::Other,
        }
    }
}

/// A failure, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What kind it is.
    pub(crate) kind: Kind,
    /// What is sent.
    pub(crate) body: Box<FailureBody>,
}

/// The JSON of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureBody {
    /// What happened.
    pub(crate) error: String,
    /// What to do.
    pub(crate) hint: String,
    /// There and true if nobody knows whether the command was or will be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<bool>,
    /// Who leads, if that is the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<LeaderAddress>,
    /// What the key has, if that is the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// The version of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
}

/// Where a leader is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaderAddress {
    /// Its node id.
    pub(crate) id: u64,
    /// Its HTTP address.
    pub(crate) http: Option<String>,
    /// Its line protocol address.
    pub(crate) line: Option<String>,
}

impl Failure {
    /// A failure of a kind, with what happened and what to do.
    pub(crate) fn new(kind: Kind, error: impl Into<String>, hint: impl Into<String>) -> Failure {
        let unknown = (kind == Kind::Unknown).then_some(true);
        let body = FailureBody { error: error.into(), hint: hint.into(), unknown, ..FailureBody::default() };
        Failure { kind, body: Box::new(body) }
    }

    /// The key does not exist.
    pub(crate) fn absent() -> Failure {
        Failure::new(
            Kind::NotFound,
            "value does not exist",
            "set it first: SET k v, or POST /key with {\"k\":\"v\"}",
        )
    }

    /// As the line protocol says it, after `Error: `.
    pub(crate) fn line(&self) -> String {
        let body = &self.body;
        match (self.kind, &body.leader) {
            (Kind::NotLeader, Some(leader)) => match leader.line.as_ref().or(leader.http.as_ref()) {
                Some(address) => format!("Leader is {address}"),
                None => format!("Leader is node {}", leader.id),
            },
            (Kind::NotFound, _) => body.error.clone(),
            (..) => format!("{} ({})", body.error, body.hint),
        }
    }
}
