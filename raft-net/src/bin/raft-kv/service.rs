//! The store as clients see it: what the HTTP routes and the line protocol both stand on.

mod elections;
mod failures;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use raft_net::Node;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use self::elections::Elections;
use crate::command::{RequestId, quoted};
use crate::config::Settings;
use crate::failure::{Failure, Kind};
use crate::store::{Answer, Command, Condition, Held, Query, Response, Store};

/// How long a request waits for a leader. Longer than a usual election, shorter than people's patience.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);
/// What a waiting request looks again after, if nothing was heard.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How fresh a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Consistency {
    /// It sees every write that was answered before it was asked.
    Linearizable,
    /// Whatever this node has applied, at once.
    Stale,
}

/// A good answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reply {
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// What it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// The version of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// True for a deletion.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
    /// A session that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<u64>,
}

impl Reply {
    /// As the line protocol says it, after `Ok: `.
    pub(crate) fn line(&self) -> String {
        match self {
            Reply { session: Some(session), .. } => session.to_string(),
            Reply { deleted: true, key, .. } => format!("{} deleted", quoted(key.as_deref().unwrap_or(""))),
            Reply { value, .. } => quoted(value.as_deref().unwrap_or("")),
        }
    }
}

/// One node, for its clients.
pub(crate) struct Service {
    node: Node<Store>,
    settings: Settings,
    started: Instant,
    elections: Elections,
    metrics: Option<PrometheusHandle>,
    stop: watch::Sender<bool>,
}

impl Service {
    /// Around a running node. The receiver turns true when a client asks the node to stop.
    pub(crate) fn new(
        node: Node<Store>,
        settings: Settings,
        metrics: Option<PrometheusHandle>,
    ) -> (Arc<Service>, watch::Receiver<bool>) {
        let (stop, stopped) = watch::channel(false);
        let elections = Elections::watch(node.watch_status());
        (Arc::new(Service { node, settings, started: Instant::now(), elections, metrics, stop }), stopped)
    }

    /// What the node was started with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Stops the node, soon and in order.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Applies a command. With a request id, at most once however often it is asked.
    pub(crate) async fn change(&self, id: Option<RequestId>, command: Command) -> Result<Reply, Failure> {
        let deadline = Instant::now() + LEADER_PATIENCE;
        loop {
            let result = match id {
                None => self.node.propose(command.clone()).await,
                Some(id) => self.node.propose_in(id.request(), command.clone()).await,
            };
            match result {
                Ok(response) => return reply_to(command, response),
                Err(error) => self.wait_or_fail(self.propose_failure(error), deadline).await?,
            }
        }
    }

    /// Opens a session.
    pub(crate) async fn open_session(&self) -> Result<Reply, Failure> {
        let deadline = Instant::now() + LEADER_PATIENCE;
        loop {
            match self.node.open_session().await {
                Ok(session) => return Ok(Reply { session: Some(session.0), ..Reply::default() }),
                Err(error) => self.wait_or_fail(self.propose_failure(error), deadline).await?,
            }
        }
    }

    /// Reads a key.
    pub(crate) async fn get(&self, key: String, consistency: Consistency) -> Result<Reply, Failure> {
        let query = Query::Get { key: key.clone() };
        match self.query(query, consistency).await? {
            Answer::Held(Some(Held { value, version })) => {
                Ok(Reply { key: Some(key), value: Some(value), version: Some(version), ..Reply::default() })
            }
            Answer::Held(None) | Answer::Summary { .. } => Err(Failure::absent()),
        }
    }

    async fn query(&self, query: Query, consistency: Consistency) -> Result<Answer, Failure> {
        let consistency = match consistency {
            Consistency::Linearizable => raft_net::Consistency::Linearizable,
            Consistency::Stale => raft_net::Consistency::Stale,
        };
        let deadline = Instant::now() + LEADER_PATIENCE;
        loop {
            match self.node.query(query.clone(), consistency).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait_or_fail(self.query_failure(error), deadline).await?,
            }
        }
    }

    /// Waits for a leader, if that may help: only when the request is known to have had no effect.
    async fn wait_or_fail(
        &self,
        (is_passing, failure): (bool, Failure),
        deadline: Instant,
    ) -> Result<(), Failure> {
        if !is_passing || Instant::now() >= deadline {
            return Err(failure);
        }
        let mut status = self.node.watch_status();
        let again = (Instant::now() + LOOK_AGAIN).min(deadline);
        // Either way it is time to look again.
        let _ = tokio::time::timeout_at(again, status.changed()).await;
        Ok(())
    }
}

/// What a response means for who asked for the command.
fn reply_to(command: Command, response: Response) -> Result<Reply, Failure> {
    let (key, value, is_conditional) = match command {
        Command::Set { key, value, condition } => (key, Some(value), condition != Condition::Always),
        Command::Delete { key, condition } => (key, None, condition != Condition::Always),
        Command::CompareAndSet { key, new, .. } => (key, Some(new), false),
        Command::Increment { key, .. } => (key, None, false),
    };
    let conflict = |error: String, hint: &str| Err(Failure::new(Kind::Conflict, error, hint));
    match response {
        Response::Set { version } => {
            Ok(Reply { key: Some(key), value, version: Some(version), ..Reply::default() })
        }
        Response::Deleted { version } => {
            Ok(Reply { key: Some(key), deleted: true, version: Some(version), ..Reply::default() })
        }
        Response::Number { value, version } => {
            let value = Some(value.to_string());
            Ok(Reply { key: Some(key), value, version: Some(version), ..Reply::default() })
        }
        Response::NotFound => Err(Failure::absent()),
        Response::Mismatch(held) => {
            let mut failure = if is_conditional {
                let hint = "read the key, and send the ETag that you got with If-Match";
                Failure::new(Kind::PreconditionFailed, "the key is not as the condition says", hint)
            } else {
                let hint = "nothing changed; read the key and try again";
                Failure::new(Kind::Conflict, "the key has another value", hint)
            };
            match held {
                Some(held) => {
                    failure.body.value = Some(held.value);
                    failure.body.version = Some(held.version);
                }
                None => failure.body.error = String::from("the key does not exist"),
            }
            Err(failure)
        }
        Response::NotANumber { .. } => conflict(
            format!("the value of {key:?} is not a whole number of 64 bits"),
            "INCR needs a number: SET it to one first",
        ),
        Response::Overflow { value, .. } => conflict(
            format!("the number is {value}, and the sum would not fit in 64 bits"),
            "nothing changed",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Option<Held> {
        Some(Held { value: "x".into(), version: 3 })
    }

    #[test]
    fn answers_of_the_line_protocol() {
        let set = Command::Set { key: "k".into(), value: "a b".into(), condition: Condition::Always };
        assert_eq!(reply_to(set, Response::Set { version: 4 }).unwrap().line(), "a b");
        let delete = Command::Delete { key: "k".into(), condition: Condition::Always };
        assert_eq!(reply_to(delete.clone(), Response::Deleted { version: 4 }).unwrap().line(), "k deleted");
        assert_eq!(reply_to(delete, Response::NotFound).unwrap_err().line(), "value does not exist");
        assert_eq!(Reply { session: Some(12), ..Reply::default() }.line(), "12");
    }

    #[test]
    fn a_mismatch_is_a_conflict_or_a_failed_precondition_and_says_what_is_there() {
        let swap = Command::CompareAndSet { key: "k".into(), expected: None, new: "n".into() };
        let failure = reply_to(swap, Response::Mismatch(held())).unwrap_err();
        assert_eq!((failure.kind, failure.body.value.as_deref()), (Kind::Conflict, Some("x")));
        let set = Command::Set { key: "k".into(), value: "v".into(), condition: Condition::Version(2) };
        let failure = reply_to(set, Response::Mismatch(held())).unwrap_err();
        assert_eq!((failure.kind, failure.body.version), (Kind::PreconditionFailed, Some(3)));
    }
}
