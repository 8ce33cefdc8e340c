//! The line protocol, for `nc`: a command a line, an answer a line. See [`command`] for the commands.
//!
//! ```text
//! put k v     Ok: v
//! get k       Ok: v              or  Error: value does not exist
//! del k       Ok: k deleted      or  Error: value does not exist
//! session     Ok: 12
//! help, quit
//! ```
//!
//! Every line has an answer but `quit`: an empty one is told what to type. A line that is too long is the last one.
//! With a token, the first line of a connection must be `auth TOKEN`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::accept::{Door, told};
use crate::command::{self, Ask};
use crate::failure::{Failure, Kind};
use crate::http::is_same;
use crate::service::{Consistency, Service};

/// How long commands under way may take once the node stops.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes of a line at most.
const LINE_BYTES_MAX: u64 = 2 << 20;
/// What is read of a client that is hung up on, and for how long: a connection that is closed with bytes unread is reset,
/// and a reset may overtake the last answer.
const FAREWELL_BYTES_MAX: usize = 64 << 20;
const FAREWELL_PATIENCE: Duration = Duration::from_secs(2);

const HELP: &str =
    "put k v | get k | del k | incr k [n] | cas k old new | session | SESSION.SEQUENCE put k v | quit";

/// Serves until told to stop. A command under way then is answered or told that the node has stopped.
pub(crate) async fn serve(mut door: Door, service: Arc<Service>, stop: watch::Receiver<bool>) {
    while let Some((stream, permit)) = door.next().await {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &service, stop).await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(permit);
        });
    }
    if !door.wait_empty(GRACE).await {
        tracing::warn!("commands were still under way after 2 s");
    }
}

async fn converse(
    stream: TcpStream,
    service: &Service,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut is_trusted = service.settings().token.is_none();
    let mut line = Vec::new();
    loop {
        let next = tokio::select! {
            () = told(&mut stop) => return Ok(()),
            next = read_line(&mut read, &mut line) => next?,
        };
        let answer = match next {
            Line::End => return Ok(()),
            Line::TooLong => {
                let answer = "Error: the line is too long (at most 2 MiB; a command has at most 1 MiB)\n";
                write.write_all(answer.as_bytes()).await?;
                return hang_up(read, write, stop).await;
            }
            Line::Text(text) => match (text.trim(), is_trusted) {
                ("quit" | "exit", _) => return hang_up(read, write, stop).await,
                ("help", _) => Ok(String::from(HELP)),
                (text, false) => {
                    let token = service.settings().token.as_deref().unwrap_or("");
                    is_trusted = text.strip_prefix("auth ").is_some_and(|shown| is_same(shown.trim(), token));
                    if is_trusted { Ok(String::from("welcome")) } else { Err(unauthorized()) }
                }
                (text, true) => run(service, text).await,
            },
            Line::NotText => Err(Failure::new(Kind::BadRequest, "the line is not UTF-8", "send text")),
        };
        let mut answer = match answer {
            Ok(answer) => format!("Ok: {answer}"),
            Err(failure) => format!("Error: {}", failure.line()),
        };
        answer.push('\n');
        write.write_all(answer.as_bytes()).await?;
    }
}

/// Says that nothing more is said, and reads on for a while, so that all answers arrive.
async fn hang_up(
    mut read: impl AsyncBufRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    write.shutdown().await?;
    let drain = async {
        let mut left = FAREWELL_BYTES_MAX;
        loop {
            let bytes = read.fill_buf().await?.len();
            if bytes == 0 || bytes > left {
                return Ok(());
            }
            read.consume(bytes);
            left -= bytes;
        }
    };
    tokio::select! {
        () = told(&mut stop) => Ok(()),
        // Whoever still sends after that is cut off.
        drained = tokio::time::timeout(FAREWELL_PATIENCE, drain) => drained.unwrap_or(Ok(())),
    }
}

fn unauthorized() -> Failure {
    Failure::new(Kind::Unauthorized, "the token is missing or wrong", "say auth TOKEN first")
}

async fn run(service: &Service, text: &str) -> Result<String, Failure> {
    let ask = command::parse(text)
        .map_err(|error| Failure::new(Kind::BadRequest, error.to_string(), error.hint()))?;
    let reply = match ask {
        Ask::Change(id, command) => service.change(id, command).await?,
        Ask::Get(key) => service.get(key, Consistency::Linearizable).await?,
        Ask::OpenSession => service.open_session().await?,
    };
    Ok(reply.line())
}

enum Line<'a> {
    Text(&'a str),
    NotText,
    TooLong,
    End,
}

async fn read_line<'a>(
    read: &mut (impl AsyncBufRead + Unpin),
    line: &'a mut Vec<u8>,
) -> std::io::Result<Line<'a>> {
    line.clear();
    let bytes = read.take(LINE_BYTES_MAX).read_until(b'\n', line).await? as u64;
    if bytes == 0 {
        return Ok(Line::End);
    }
    if bytes == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        return Ok(Line::TooLong);
    }
    Ok(std::str::from_utf8(line).map_or(Line::NotText, Line::Text))
}
