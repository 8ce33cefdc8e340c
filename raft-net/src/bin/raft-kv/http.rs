//! HTTP, on any node. Every answer but the status page, `/livez` and `/metrics` is JSON; every failure is
//! `{"error": ..., "hint": ...}`.

mod guard;
mod keys;
mod observe;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use crate::command::{self, Ask, RequestId};
use crate::failure::{Failure, Kind};
use crate::service::{Consistency, Reply, Service};

pub(crate) use guard::is_same;
pub(crate) use server::serve;

/// Bytes of a request's body at most: the largest command, and room for what JSON escapes.
const BODY_BYTES_MAX: usize = 2 << 20;
/// A body that takes longer than this is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

const ROUTES: &str = "routes: GET /, POST /command, POST /session, POST /key, GET|DELETE /key/{k}, GET /state, \
    /connections, /log, /livez, /readyz, /metrics, POST /shutdown";

/// All routes.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(observe::page))
        .route("/command", post(run_command))
        .route("/session", post(open_session))
        .route("/key", post(keys::set))
        .route("/key/{*key}", get(keys::get).delete(keys::delete))
        .route("/state", get(observe::state))
        .route("/connections", get(observe::connections))
        .route("/log", get(observe::log))
        .route("/livez", get(observe::livez))
        .route("/readyz", get(observe::readyz))
        .route("/metrics", get(observe::metrics))
        .route("/shutdown", post(shutdown))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&service), guard::guard))
        .with_state(service)
}

async fn run_command(State(service): State<Arc<Service>>, request: Request) -> Result<Response, Failure> {
    let bytes = body(request.into_body()).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Failure::new(Kind::BadRequest, "the command is not UTF-8", "send text: curl -d 'SET k v' .../command")
    })?;
    let ask = command::parse(text)
        .map_err(|error| Failure::new(Kind::BadRequest, error.to_string(), error.hint()))?;
    let reply = match ask {
        Ask::Change(id, command) => service.change(id, command).await?,
        Ask::Get(key) => service.get(key, Consistency::Linearizable).await?,
        Ask::OpenSession => service.open_session().await?,
    };
    Ok(answer(&reply))
}

async fn open_session(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    Ok(answer(&service.open_session().await?))
}

async fn shutdown(State(service): State<Arc<Service>>) -> Response {
    #[derive(Serialize)]
    struct Stopping {
        stopping: bool,
    }
    tracing::info!("asked to stop over HTTP");
    service.ask_to_stop();
    json(&Stopping { stopping: true })
}

async fn no_route(method: Method, uri: Uri) -> Failure {
    Failure::new(Kind::NotFound, format!("no such route: {method} {}", uri.path()), ROUTES)
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    Failure::new(Kind::MethodNotAllowed, format!("{} does not take {method}", uri.path()), ROUTES)
}

/// A reply as JSON, with its version in the ETag.
fn answer(reply: &Reply) -> Response {
    let mut response = json(reply);
    set_etag(&mut response, reply.version);
    response
}

/// JSON on a line of its own, so that a terminal stays readable.
fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        // Nothing that is sent here has a failing encoding; a client is told rather than left without an answer.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A version as a strong entity tag.
fn set_etag(response: &mut Response, version: Option<u64>) {
    let Some(version) = version else { return };
    // Digits in quotes are a valid header value.
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

/// A request's body, bounded in bytes and in time.
async fn body(body: Body) -> Result<Bytes, Failure> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => {
            let hint = "a body has at most 2 MiB, and a command at most 1 MiB";
            Err(Failure::new(Kind::TooLarge, "the body is too large", hint))
        }
        Ok(Err(error)) => {
            Err(Failure::new(Kind::BadRequest, format!("the body broke off: {error}"), "send it again"))
        }
        Err(_) => Err(Failure::new(Kind::TooSlow, "the body did not arrive in 20 s", "send it faster")),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// The request id in the `Request-Id` header, if there is one.
fn request_id(headers: &HeaderMap) -> Result<Option<RequestId>, Failure> {
    let Some(value) = headers.get("request-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("?");
    let parsed: Result<RequestId, _> = text.parse();
    parsed.map(Some).map_err(|error| Failure::new(Kind::BadRequest, error.to_string(), error.hint()))
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(&*self.body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if self.kind == Kind::Unavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(leader) = self.body.leader {
            // The guard makes a Location of it: it knows the path.
            response.extensions_mut().insert(leader);
        }
        response
    }
}
