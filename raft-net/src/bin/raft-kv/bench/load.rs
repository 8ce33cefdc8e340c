//! Clients that ask, wait for the answer, and ask again.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::Instant;

use crate::args::Via;
use crate::exit::{Exit, Fatal};

/// Keys of one client.
const KEYS: usize = 100;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Put,
    Get,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Put => "put",
            Kind::Get => "get",
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) clients: usize,
    pub(super) via: Via,
    /// Where the clients connect, in turn.
    pub(super) at: Vec<String>,
    pub(super) value_bytes: usize,
    /// Of each client.
    pub(super) operations: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of each operation that was answered well.
    pub(super) latencies_us: Vec<u64>,
    pub(super) failed: usize,
    /// From the first question to the last answer.
    pub(super) elapsed_us: u64,
}

impl Load {
    /// Connects all clients, then starts them together.
    pub(super) async fn run(&self) -> Result<Outcome, Fatal> {
        let barrier = Arc::new(Barrier::new(self.clients + 1));
        let mut tasks = Vec::new();
        for number in 0..self.clients {
            let at = &self.at[number % self.at.len()];
            let connection = Connection::open(at, self.via).await.map_err(|error| {
                Fatal::new(Exit::Other, format!("client {number} can't connect to {at}: {error}"))
            })?;
            let (load, barrier) = (self.clone(), Arc::clone(&barrier));
            tasks.push(tokio::spawn(async move { load.client(number, connection, &barrier).await }));
        }
        barrier.wait().await;
        let began = Instant::now();
        let mut whole = Outcome::default();
        for task in tasks {
            let one =
                task.await.map_err(|error| Fatal::new(Exit::Other, format!("a client failed: {error}")))?;
            whole.latencies_us.extend(one.latencies_us);
            whole.failed += one.failed;
        }
        whole.elapsed_us = micros(began);
        Ok(whole)
    }

    async fn client(&self, number: usize, mut connection: Connection, barrier: &Barrier) -> Outcome {
        let value = "v".repeat(self.value_bytes.max(1));
        let mut outcome = Outcome { latencies_us: Vec::with_capacity(self.operations), ..Outcome::default() };
        // A get must find something, and connections want to be warm.
        let first = connection.ask(Kind::Put, &key(number, 0), &value).await;
        barrier.wait().await;
        if first.is_err() {
            outcome.failed = self.operations;
            return outcome;
        }
        for operation in 0..self.operations {
            let key = match self.kind {
                Kind::Put => key(number, operation % KEYS),
                Kind::Get => key(number, 0),
            };
            let began = Instant::now();
            match connection.ask(self.kind, &key, &value).await {
                Ok(true) => outcome.latencies_us.push(micros(began)),
                Ok(false) => outcome.failed += 1,
                Err(_) => {
                    // The connection is gone, and with it this client.
                    outcome.failed += self.operations - operation;
                    break;
                }
            }
        }
        outcome
    }
}

fn key(client: usize, number: usize) -> String {
    format!("bench-{client}-{number}")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A client's connection.
enum Connection {
    Line { stream: BufReader<TcpStream>, answer: Vec<u8> },
    Http { sender: SendRequest<Full<Bytes>>, host: String },
}

impl Connection {
    async fn open(at: &str, via: Via) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        match via {
            Via::Line => Ok(Connection::Line { stream: BufReader::new(stream), answer: Vec::new() }),
            Via::Http => {
                let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(std::io::Error::other)?;
                tokio::spawn(connection);
                Ok(Connection::Http { sender, host: String::from(at) })
            }
        }
    }

    /// Asks, and says whether the answer is a good one.
    async fn ask(&mut self, kind: Kind, key: &str, value: &str) -> std::io::Result<bool> {
        let command = match kind {
            Kind::Put => format!("put {key} {value}\n"),
            Kind::Get => format!("get {key}\n"),
        };
        match self {
            Connection::Line { stream, answer } => {
                stream.get_mut().write_all(command.as_bytes()).await?;
                answer.clear();
                stream.read_until(b'\n', answer).await?;
                if answer.is_empty() {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                Ok(answer.starts_with(b"Ok: "))
            }
            Connection::Http { sender, host } => {
                let request = match kind {
                    Kind::Put => Request::builder().method(Method::POST).uri("/command"),
                    Kind::Get => Request::builder().uri(format!("/key/{key}")),
                };
                let body = match kind {
                    Kind::Put => Bytes::from(command),
                    Kind::Get => Bytes::new(),
                };
                let request = request.header(header::HOST, host.as_str()).body(Full::new(body));
                let request = request.map_err(std::io::Error::other)?;
                sender.ready().await.map_err(std::io::Error::other)?;
                let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
                let is_good = response.status().is_success();
                response.into_body().collect().await.map_err(std::io::Error::other)?;
                Ok(is_good)
            }
        }
    }
}
