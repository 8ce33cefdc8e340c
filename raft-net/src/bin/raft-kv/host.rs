//! Stands in for the library's `Node` until that has landed, with the same shape: plain UDP, **no encryption**.
//!
//! To be removed then: nothing else in this binary knows what is behind these names.

mod disk;
mod node;

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use raft_core::replica::{
    Outcome, OutcomeOf, ReplicaConfig, SessionId, SessionRequest, StateMachine, StopReason,
};
use raft_core::{Boot, ClusterId, Index, Member, NodeId, Refused, Status, Term};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use disk::{founding, initialise, is_served};
pub(crate) use node::Connection;

/// What a node is told.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// Its data directory, initialised.
    pub(crate) directory: PathBuf,
    /// Which node the directory must be of.
    pub(crate) id: NodeId,
    /// Where peers are heard.
    pub(crate) listen: SocketAddr,
    /// Where they are.
    pub(crate) peers: Vec<(Member, SocketAddr)>,
    /// Bounds and times.
    pub(crate) replica: ReplicaConfig,
}

/// Why a node does not start.
#[derive(Clone, Debug)]
pub(crate) enum StartError {
    /// The data directory: what is wrong, and the cure.
    Directory(String),
    /// The socket: what is wrong.
    Address(String),
}

/// How fresh a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    Linearizable,
    Stale,
}

/// Why a command has no response.
#[derive(Clone, Debug)]
pub(crate) enum ProposeError {
    NotLeader(Option<Member>),
    Refused(Refused),
    Lost,
    UnknownOutcome,
    Expired,
    Stopped,
}

/// Why a query has no answer.
#[derive(Clone, Debug)]
pub(crate) enum QueryError {
    Refused(Refused),
    Stopped,
}

/// What a node knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct NodeStatus {
    pub(crate) raft: Status,
    pub(crate) cluster: ClusterId,
    pub(crate) boot: Boot,
    /// Who answered its campaign in this term, itself included.
    pub(crate) votes_for: Vec<Member>,
    pub(crate) votes_against: Vec<Member>,
    pub(crate) stopped: Option<StopReason>,
    pub(crate) disk: DiskFigures,
}

/// What the disk did since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DiskFigures {
    pub(crate) syncs: u64,
    pub(crate) bytes: u64,
    pub(crate) sync_us_last: u64,
    pub(crate) sync_us_max: u64,
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub(crate) struct LogLine {
    pub(crate) index: Index,
    pub(crate) term: Term,
    pub(crate) kind: &'static str,
    /// The bytes of a replica's command.
    pub(crate) command: Option<Bytes>,
}

enum Ask<S: StateMachine> {
    Propose(Option<SessionRequest>, S::Command, oneshot::Sender<OutcomeOf<S>>),
    Open(oneshot::Sender<OutcomeOf<S>>),
    Query(S::Query, oneshot::Sender<OutcomeOf<S>>),
    Stale(S::Query, oneshot::Sender<S::Answer>),
    Log(Index, usize, oneshot::Sender<Vec<LogLine>>),
    Connections(oneshot::Sender<Vec<Connection>>),
    Stop(oneshot::Sender<()>),
}

/// A handle of a running node.
pub(crate) struct Node<S: StateMachine> {
    asks: mpsc::Sender<Ask<S>>,
    status: watch::Receiver<NodeStatus>,
}

impl<S: StateMachine> Clone for Node<S> {
    fn clone(&self) -> Node<S> {
        Node { asks: self.asks.clone(), status: self.status.clone() }
    }
}

impl<S> Node<S>
where
    S: StateMachine + Send + 'static,
    S::Command: Send,
    S::Response: Send,
    S::Query: Send,
    S::Answer: Send,
{
    /// Recovers the directory and runs the node.
    pub(crate) async fn start(config: NodeConfig, state: S) -> Result<Node<S>, StartError> {
        let (asks, inbox) = mpsc::channel(4_096);
        let status = node::start(config, state, inbox).await?;
        Ok(Node { asks, status })
    }

    /// Applies a command.
    pub(crate) async fn propose(&self, command: S::Command) -> Result<S::Response, ProposeError> {
        done(self.outcome(|reply| Ask::Propose(None, command, reply)).await?)
    }

    /// Applies a command once.
    pub(crate) async fn propose_in(
        &self,
        request: SessionRequest,
        command: S::Command,
    ) -> Result<S::Response, ProposeError> {
        done(self.outcome(|reply| Ask::Propose(Some(request), command, reply)).await?)
    }

    /// Opens a session.
    pub(crate) async fn open_session(&self) -> Result<SessionId, ProposeError> {
        match self.outcome(Ask::Open).await? {
            Outcome::Opened(session) => Ok(session),
            other @ (Outcome::Done(_)
            | Outcome::Answer(_)
            | Outcome::Lost
            | Outcome::Unknown
            | Outcome::Refused(_)
            | Outcome::Expired) => Err(failure(other)),
        }
    }

    /// Answers a query.
    pub(crate) async fn query(
        &self,
        query: S::Query,
        consistency: Consistency,
    ) -> Result<S::Answer, QueryError> {
        match consistency {
            Consistency::Stale => self.ask(|reply| Ask::Stale(query, reply)).await.ok_or(QueryError::Stopped),
            Consistency::Linearizable => match self.outcome(|reply| Ask::Query(query, reply)).await {
                Ok(Outcome::Answer(answer)) => Ok(answer),
                Ok(Outcome::Refused(refused)) => Err(QueryError::Refused(refused)),
                Ok(_) | Err(_) => Err(QueryError::Stopped),
            },
        }
    }

    /// What the node knows of itself.
    pub(crate) fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// The same, as it changes.
    pub(crate) fn watch_status(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// The peers.
    pub(crate) async fn connections(&self) -> Vec<Connection> {
        self.ask(Ask::Connections).await.unwrap_or_default()
    }

    /// Entries of the log.
    pub(crate) async fn log(&self, from: Index, limit: usize) -> Option<Vec<LogLine>> {
        self.ask(|reply| Ask::Log(from, limit, reply)).await
    }

    /// Ends the node in order.
    pub(crate) async fn shutdown(&self) {
        self.ask(Ask::Stop).await;
    }

    /// Returns once the node has stopped itself.
    pub(crate) async fn stopped(&self) -> StopReason {
        let mut status = self.status.clone();
        loop {
            if let Some(reason) = &status.borrow_and_update().stopped {
                return reason.clone();
            }
            if status.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask<S>) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn outcome(
        &self,
        ask: impl FnOnce(oneshot::Sender<OutcomeOf<S>>) -> Ask<S>,
    ) -> Result<OutcomeOf<S>, ProposeError> {
        self.ask(ask).await.ok_or(ProposeError::Stopped)
    }
}

fn done<R, A>(outcome: Outcome<R, A>) -> Result<R, ProposeError> {
    match outcome {
        Outcome::Done(response) => Ok(response),
        other @ (Outcome::Opened(_)
        | Outcome::Answer(_)
        | Outcome::Lost
        | Outcome::Unknown
        | Outcome::Refused(_)
        | Outcome::Expired) => Err(failure(other)),
    }
}

fn failure<R, A>(outcome: Outcome<R, A>) -> ProposeError {
    match outcome {
        Outcome::Lost => ProposeError::Lost,
        Outcome::Expired => ProposeError::Expired,
        Outcome::Refused(Refused::NotLeader(leader)) => ProposeError::NotLeader(leader),
        Outcome::Refused(refused) => ProposeError::Refused(refused),
        // An answer of another kind than the question's does not happen; nothing is known then.
        Outcome::Unknown | Outcome::Done(_) | Outcome::Opened(_) | Outcome::Answer(_) => {
            ProposeError::UnknownOutcome
        }
    }
}
