//! `status`, `get`, `put`, `del` and `incr`: the command line as a client.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde_json::Value;

use crate::args::{
    ChangeArguments, ClientArguments, DelArguments, GetArguments, IncrArguments, Output, PutArguments,
};
use crate::client::{Answer, Question, ask_any, ask_fastest, ask_within, path_of, read_token};
use crate::command::{ParseError, RequestId, quoted};
use crate::config::NodeAddresses;
use crate::exit::{Exit, Fatal};
use crate::failure::{FailureBody, Kind};
use crate::print::{say, table};
use crate::report::StateReport;

/// `get`.
pub(crate) async fn get(arguments: GetArguments) -> Result<(), Fatal> {
    let consistency = if arguments.stale { "?consistency=stale" } else { "" };
    let question = Question::get(format!("{}{consistency}", path_of(&arguments.key)));
    let answer = send(&arguments.client, &question).await?;
    let pair: Value = answer.json()?;
    show(&arguments.client, &answer, pair[&arguments.key].as_str().unwrap_or(""));
    Ok(())
}

/// `put`.
pub(crate) async fn put(arguments: PutArguments) -> Result<(), Fatal> {
    let pair: serde_json::Map<String, Value> =
        [(arguments.key.clone(), Value::from(arguments.value.clone()))].into_iter().collect();
    let question = Question {
        method: Method::POST,
        path: String::from("/key"),
        headers: headers(&arguments.change),
        body: Value::Object(pair).to_string(),
    };
    let answer = send(&arguments.client, &question).await?;
    show(&arguments.client, &answer, &arguments.value);
    Ok(())
}

/// `del`.
pub(crate) async fn del(arguments: DelArguments) -> Result<(), Fatal> {
    let question = Question {
        method: Method::DELETE,
        path: path_of(&arguments.key),
        headers: headers(&arguments.change),
        body: String::new(),
    };
    let answer = send(&arguments.client, &question).await?;
    show(&arguments.client, &answer, &format!("{} deleted", arguments.key));
    Ok(())
}

/// `incr`.
pub(crate) async fn incr(arguments: IncrArguments) -> Result<(), Fatal> {
    let id = match &arguments.request_id {
        None => String::new(),
        Some(id) => {
            let parsed: Result<RequestId, ParseError> = id.parse();
            parsed.map_err(|error| {
                Fatal::new(Exit::Usage, format!("--request-id: {error}; {}", error.hint()))
            })?;
            format!("{id} ")
        }
    };
    // Quoted in any case: a key may look like anything.
    let key = Value::from(arguments.key.as_str());
    let question = Question {
        method: Method::POST,
        path: String::from("/command"),
        headers: Vec::new(),
        body: format!("{id}INCR {key} {}", arguments.by),
    };
    let answer = send(&arguments.client, &question).await?;
    let reply: Value = answer.json()?;
    show(&arguments.client, &answer, reply["value"].as_str().unwrap_or(""));
    Ok(())
}

fn headers(change: &ChangeArguments) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some(version) = change.if_version {
        headers.push(("if-match", format!("\"{version}\"")));
    }
    if change.if_absent {
        headers.push(("if-none-match", String::from("*")));
    }
    if let Some(id) = &change.request_id {
        headers.push(("request-id", id.clone()));
    }
    headers
}

/// Asks, and makes an error of every answer that is not a success.
async fn send(client: &ClientArguments, question: &Question) -> Result<Answer, Fatal> {
    let token = read_token(client.token_file.as_deref())?;
    good(ask_any(&client.nodes, token.as_deref(), question).await?)
}

/// An answer that is a success; anything else is an error with what the node said.
fn good(answer: Answer) -> Result<Answer, Fatal> {
    let exit = Kind::exit_of_status(answer.status);
    if exit == Exit::Ok {
        return Ok(answer);
    }
    let what = match serde_json::from_slice::<FailureBody>(&answer.body) {
        Ok(body) => match body.value {
            Some(value) => format!("{}; it is {}; {}", body.error, quoted(&value), body.hint),
            None => format!("{}; {}", body.error, body.hint),
        },
        Err(_) => format!("the node answered {}; is this a raft-kv node?", answer.status),
    };
    Err(Fatal::new(exit, what))
}

fn show(client: &ClientArguments, answer: &Answer, text: &str) {
    match client.output {
        Output::Table => say(format!("{text}\n")),
        Output::Json => say(format!("{}\n", String::from_utf8_lossy(&answer.body))),
    }
}

/// How long `status` waits for a node.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// One node, as `status` tells of it.
#[derive(Debug, Serialize)]
struct NodeStatus {
    id: u64,
    http: Option<String>,
    /// What it says of itself; none if it does not answer.
    state: Option<StateReport>,
}

/// `status`.
pub(crate) async fn status(client: ClientArguments) -> Result<(), Fatal> {
    let token = read_token(client.token_file.as_deref())?;
    let question = Question::get("/state");
    let first = ask_fastest(STATUS_PATIENCE, &client.nodes, token.as_deref(), &question).await?;
    let first: StateReport = good(first)?.json()?;
    let mut asked = Vec::new();
    for node in first.nodes.clone() {
        let (first, token) = (first.clone(), token.clone());
        asked.push(tokio::spawn(async move { status_of(node, first, token).await }));
    }
    let mut all = Vec::new();
    for task in asked {
        all.extend(task.await.ok());
    }
    match client.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&all)
                .map_err(|error| Fatal::new(Exit::Other, format!("the answer can't be written: {error}")))?;
            say(format!("{text}\n"));
        }
        Output::Table => say(status_table(&all)),
    }
    let has_leader = all.iter().filter_map(|node| node.state.as_ref()).any(|state| state.role == "leader");
    if has_leader {
        Ok(())
    } else {
        Err(Fatal::new(Exit::Unavailable, "no node leads; a majority of the nodes must run"))
    }
}

async fn status_of(node: NodeAddresses, first: StateReport, token: Option<String>) -> NodeStatus {
    // The one that answered first may be reached under another name than it has in the configuration.
    let state = if node.id == first.id {
        Some(first)
    } else {
        match &node.http {
            Some(http) => ask_within(STATUS_PATIENCE, http, token.as_deref(), &Question::get("/state"))
                .await
                .ok()
                .and_then(|answer| answer.json().ok()),
            None => None,
        }
    };
    NodeStatus { id: node.id, http: node.http, state }
}

fn status_table(all: &[NodeStatus]) -> String {
    let commit =
        all.iter().filter_map(|node| node.state.as_ref()).map(|state| state.commit).max().unwrap_or(0);
    let head = [
        "NODE", "ROLE", "TERM", "VOTE", "COMMIT", "APPLIED", "LAG", "KEYS", "DIGEST", "SYNCS", "PID", "HTTP",
    ];
    let row = |node: &NodeStatus| {
        let http = node.http.clone().unwrap_or_default();
        let Some(state) = &node.state else {
            let mut row = vec![node.id.to_string(), String::from("no answer")];
            row.resize(head.len() - 1, String::from("-"));
            row.push(http);
            return row;
        };
        vec![
            node.id.to_string(),
            state.role.clone(),
            state.term.to_string(),
            state.vote.map_or(String::from("-"), |vote| vote.to_string()),
            state.commit.to_string(),
            state.applied.to_string(),
            commit.saturating_sub(state.applied).to_string(),
            state.keys.to_string(),
            state.digest.clone(),
            state.disk.syncs.to_string(),
            state.pid.to_string(),
            http,
        ]
    };
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}
