//! Looking into a node: nothing here changes anything.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::json;
use crate::failure::{Failure, Kind};
use crate::service::Service;

/// Lines of the log in one answer at most.
const LOG_LIMIT_MAX: usize = 1_000;
const LOG_LIMIT: usize = 20;

const PAGE: &str = include_str!("../page.html");

/// `GET /`: the status page.
pub(super) async fn page() -> Response {
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src http:; \
                  img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `GET /state`.
pub(super) async fn state(State(service): State<Arc<Service>>) -> Response {
    json(&service.state().await)
}

/// `GET /connections`.
pub(super) async fn connections(State(service): State<Arc<Service>>) -> Response {
    json(&service.connections().await)
}

/// Which lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    from: Option<u64>,
    limit: Option<usize>,
}

/// `GET /log?from=&limit=`: the newest lines unless told from where.
pub(super) async fn log(
    State(service): State<Arc<Service>>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let hint = "use ?from=INDEX&limit=1..1000";
    let Query(query) =
        query.map_err(|rejection| Failure::new(Kind::BadRequest, rejection.body_text(), hint))?;
    let limit = query.limit.unwrap_or(LOG_LIMIT);
    if !(1..=LOG_LIMIT_MAX).contains(&limit) {
        return Err(Failure::new(Kind::BadRequest, format!("limit is {limit}"), hint));
    }
    Ok(json(&service.log(query.from, limit).await?))
}

/// `GET /livez`: the process is of use. A node that stopped itself is not.
pub(super) async fn livez(State(service): State<Arc<Service>>) -> Result<&'static str, Failure> {
    match service.why_stopped() {
        None => Ok("ok\n"),
        Some(reason) => Err(Failure::new(Kind::Unavailable, reason, "start the node again")),
    }
}

/// `GET /readyz`: commands can be served here now.
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> Result<&'static str, Failure> {
    service.check_ready().map(|()| "ok\n")
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match service.metrics() {
        Some(text) => (kind, text).into_response(),
        None => (StatusCode::NOT_FOUND, kind, String::from("# no recorder\n")).into_response(),
    }
}
