//! The handle of a node.

use raft_core::Index;
use raft_core::replica::{SessionId, SessionRequest, StateMachine};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::NodeConfig;
use crate::error::{ProposeError, QueryError, StartError, StopReason, Stopped};
use crate::event_loop::{self, Request};
use crate::secure::Connection;
use crate::status::{LogLine, NodeStatus};

/// How fresh an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It contains everything that was acknowledged before the question was asked, by whatever node.
    #[default]
    Linearizable,
    /// What this node has applied, at once; it may be old.
    Stale,
}

/// A handle of a running node. Cheap to clone; the node stops in order when the last one is dropped.
///
/// Plain verbs are requests, nouns are getters. Every request may be cancelled by dropping its future, which does
/// not take back a command that was on its way.
#[derive(Debug)]
pub struct Node<S: StateMachine> {
    requests: mpsc::Sender<Request<S>>,
    status: watch::Receiver<NodeStatus>,
}

impl<S: StateMachine> Clone for Node<S> {
    fn clone(&self) -> Node<S> {
        Node { requests: self.requests.clone(), status: self.status.clone() }
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
    /// Recovers the data directory and starts the node. `state` is the empty state, to which the log is applied.
    ///
    /// # Errors
    /// [`StartError`], each with its cure.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(config: NodeConfig, state: S) -> Result<Node<S>, StartError> {
        let (requests, inbox) = mpsc::channel(config.requests_max.max(1));
        let status = event_loop::start(config, state, inbox).await?;
        Ok(Node { requests, status })
    }

    /// Applies a command. On a follower it is forwarded to the leader, unless forwarding is turned off.
    ///
    /// # Errors
    /// [`ProposeError`]; after [`UnknownOutcome`](ProposeError::UnknownOutcome) it may yet be applied.
    pub async fn propose(&self, command: S::Command) -> Result<S::Response, ProposeError> {
        self.command(|reply| Request::Propose { request: None, command, reply }).await
    }

    /// Opens a session, in which each numbered command is applied at most once.
    ///
    /// # Errors
    /// [`ProposeError`]; whatever it is, opening another one does no harm.
    pub async fn open_session(&self) -> Result<SessionId, ProposeError> {
        self.command(|reply| Request::Open { reply }).await
    }

    /// Applies a session's command, at most once however often it is proposed under one number.
    ///
    /// # Errors
    /// [`ProposeError`]. A retry under the same number is safe after any of them but
    /// [`Expired`](ProposeError::Expired).
    pub async fn propose_in(
        &self,
        request: SessionRequest,
        command: S::Command,
    ) -> Result<S::Response, ProposeError> {
        self.command(|reply| Request::Propose { request: Some(request), command, reply }).await
    }

    /// Asks the state machine.
    ///
    /// # Errors
    /// [`QueryError`]; nothing happened, and asking again is always safe.
    pub async fn query(&self, query: S::Query, consistency: Consistency) -> Result<S::Answer, QueryError> {
        let (reply, answer) = oneshot::channel();
        let request = match consistency {
            Consistency::Linearizable => Request::Query { query, reply },
            Consistency::Stale => Request::QueryStale { query, reply },
        };
        self.requests.send(request).await.map_err(|_| QueryError::Stopped)?;
        answer.await.unwrap_or(Err(QueryError::Stopped))
    }

    /// What the node knows of itself now, at the price of asking it.
    pub async fn fresh_status(&self) -> NodeStatus {
        // A node that is gone has published its last word.
        let _ = self.ask(|reply| Request::Publish { reply }).await;
        self.status()
    }

    /// What the node knew of itself some milliseconds ago at most.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// The same, as it changes.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// The peers and the sessions with them; none once the node has stopped.
    pub async fn connections(&self) -> Vec<Connection> {
        self.ask(|reply| Request::Connections { reply }).await.unwrap_or_default()
    }

    /// What was dropped, by reason; nothing once the node has stopped.
    pub async fn dropped(&self) -> Vec<(&'static str, u64)> {
        self.ask(|reply| Request::Dropped { reply }).await.unwrap_or_default()
    }

    /// Entries of the log, committed or not, at most `limit` from `from` on, as far as they are in memory: what was
    /// applied, and let go of since, is missing.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn log(&self, from: Index, limit: usize) -> Result<Vec<LogLine>, Stopped> {
        self.ask(|reply| Request::Log { from, limit, reply }).await
    }

    /// Stops the node in order: no more messages, what was handed to the disk is finished and vouched for, the
    /// directory is free. Returns when that is so, or when the node had stopped before.
    pub async fn shutdown(&self) {
        // A node that is gone is as good as one that was shut down.
        let _ = self.requests.send(Request::Shutdown).await;
        self.stopped().await;
    }

    /// Returns once the node has stopped, and why.
    pub async fn stopped(&self) -> StopReason {
        let mut status = self.status.clone();
        match status.wait_for(|status| status.stopped.is_some()).await {
            Ok(status) => status.stopped.clone().unwrap_or(StopReason::Broken),
            Err(_) => StopReason::Broken,
        }
    }

    async fn command<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, ProposeError>>) -> Request<S>,
    ) -> Result<T, ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| ProposeError::Stopped)?;
        // A request that nobody answers any more may have gone as far as the log.
        answer.await.unwrap_or(Err(ProposeError::UnknownOutcome))
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request<S>) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
