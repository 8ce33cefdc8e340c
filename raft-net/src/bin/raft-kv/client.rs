//! An HTTP client, small: one connection a request, and the difference between "not sent" and "nobody knows".

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::exit::{Exit, Fatal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than a node takes to say that it does not know.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Question {
    /// A read.
    pub(crate) fn get(path: impl Into<String>) -> Question {
        Question { method: Method::GET, path: path.into(), headers: Vec::new(), body: String::new() }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body, as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Fatal> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Fatal::new(
                Exit::Other,
                format!("the answer is not what was expected: {error}; is this a raft-kv node?"),
            )
        })
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum NoAnswer {
    /// Nothing was sent: another node can be asked.
    NotSent(String),
    /// It was sent, so it may have happened.
    Unknown(String),
}

/// Asks one node.
pub(crate) async fn ask(node: &str, token: Option<&str>, question: &Question) -> Result<Answer, NoAnswer> {
    let not_sent = |why: &dyn std::fmt::Display| NoAnswer::NotSent(format!("{node}: {why}"));
    let unknown = |why: &dyn std::fmt::Display| NoAnswer::Unknown(format!("{node}: {why}"));
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(node)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_sent(&error)),
        Err(_) => return Err(not_sent(&"no connection in 2 s")),
    };
    let request = request(node, token, question).map_err(|error| not_sent(&error))?;
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(String::from);
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        driver.abort();
        Ok::<_, hyper::Error>((status, location, body))
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(Ok((status, location, Ok(body)))) => Ok(Answer { status, location, body: body.to_bytes() }),
        Ok(Ok((_, _, Err(error)))) => Err(unknown(&error)),
        Ok(Err(error)) => Err(unknown(&error)),
        Err(_) => Err(unknown(&"no answer in 20 s")),
    }
}

fn request(
    node: &str,
    token: Option<&str>,
    question: &Question,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request =
        Request::builder().method(&question.method).uri(&question.path).header(header::HOST, node);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    for (name, value) in &question.headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(Bytes::from(question.body.clone())))
}

/// Asks the nodes in order, until one answers; goes to the leader if that is the answer.
///
/// What was sent and not answered is not sent again: it may have happened.
pub(crate) async fn ask_any(
    nodes: &[String],
    token: Option<&str>,
    question: &Question,
) -> Result<Answer, Fatal> {
    let mut failures = Vec::new();
    for node in nodes {
        let mut answer = ask(node, token, question).await;
        if let Ok(Answer { status: 307, location: Some(location), .. }) = &answer {
            let leader = location.strip_prefix("http://").and_then(|rest| rest.split('/').next());
            if let Some(leader) = leader.map(String::from) {
                answer = ask(&leader, token, question).await;
            }
        }
        match answer {
            Ok(answer) => return Ok(answer),
            Err(NoAnswer::NotSent(why)) => failures.push(why),
            Err(NoAnswer::Unknown(why)) if question.method == Method::GET => failures.push(why),
            Err(NoAnswer::Unknown(why)) => {
                let what = format!("{why}; the command was sent, and may or may not be applied");
                return Err(Fatal::new(Exit::Unknown, what));
            }
        }
    }
    Err(nobody_answers(&failures))
}

/// Asks one node, for so long.
pub(crate) async fn ask_within(
    patience: Duration,
    node: &str,
    token: Option<&str>,
    question: &Question,
) -> Result<Answer, NoAnswer> {
    match tokio::time::timeout(patience, ask(node, token, question)).await {
        Ok(answer) => answer,
        Err(_) => Err(NoAnswer::Unknown(format!("{node}: no answer in {patience:?}"))),
    }
}

/// Asks all nodes at once, and gives the first good answer, or else another one. A node that hangs delays nothing, as
/// long as one answers.
pub(crate) async fn ask_fastest(
    patience: Duration,
    nodes: &[String],
    token: Option<&str>,
    question: &Question,
) -> Result<Answer, Fatal> {
    let mut asked = JoinSet::new();
    for node in nodes {
        let (node, token, question) = (node.clone(), token.map(String::from), question.clone());
        asked.spawn(async move { ask_within(patience, &node, token.as_deref(), &question).await });
    }
    let (mut other, mut failures) = (None, Vec::new());
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(answer)) if (200..300).contains(&answer.status) => return Ok(answer),
            Ok(Ok(answer)) => other = Some(answer),
            Ok(Err(NoAnswer::NotSent(why) | NoAnswer::Unknown(why))) => failures.push(why),
            Err(died) => failures.push(died.to_string()),
        }
    }
    other.ok_or_else(|| nobody_answers(&failures))
}

fn nobody_answers(failures: &[String]) -> Fatal {
    let what = format!("no node answers ({}); name running ones with --node HOST:PORT", failures.join("; "));
    Fatal::new(Exit::Unavailable, what)
}

/// The token in a file.
pub(crate) fn read_token(file: Option<&Path>) -> Result<Option<String>, Fatal> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        Fatal::new(Exit::Usage, format!("{}: {error}; check --token-file", file.display()))
    })?;
    Ok(Some(String::from(text.trim())))
}

/// A key as a part of a path: everything but letters and digits as %XX.
pub(crate) fn path_of(key: &str) -> String {
    let mut path = String::from("/key/");
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_so_that_no_path_changes_their_meaning() {
        assert_eq!(path_of("a/b c?ü"), "/key/a%2Fb%20c%3F%C3%BC");
    }
}
