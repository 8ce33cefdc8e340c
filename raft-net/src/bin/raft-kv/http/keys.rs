//! Keys as resources: JSON in and out, versions as entity tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{body, json, request_id, set_etag};
use crate::command::checked;
use crate::failure::{Failure, Kind};
use crate::service::{Consistency, Service};
use crate::store::{Command, Condition};

/// `POST /key` with `{"k": "v"}`.
pub(super) async fn set(State(service): State<Arc<Service>>, request: Request) -> Result<Response, Failure> {
    let (parts, content) = request.into_parts();
    let condition = condition(&parts.headers)?;
    let id = request_id(&parts.headers)?;
    let (key, value) = pair(&body(content).await?)?;
    let command = Command::Set { key: checked_key(key)?, value, condition };
    let reply = service.change(id, command).await?;
    Ok(pair_answer(reply.key, reply.value, reply.version))
}

/// What a read may say about itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    consistency: Option<Consistency>,
}

/// `GET /key/{k}`.
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ReadQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let key = path_key(path)?;
    let Query(query) = query.map_err(|rejection| {
        let hint = "use ?consistency=linearizable (the default) or ?consistency=stale";
        Failure::new(Kind::BadRequest, rejection.body_text(), hint)
    })?;
    let reply = service.get(key, query.consistency.unwrap_or(Consistency::Linearizable)).await?;
    Ok(pair_answer(reply.key, reply.value, reply.version))
}

/// `DELETE /key/{k}`.
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Deleted {
        deleted: Option<String>,
    }
    let key = path_key(path)?;
    let command = Command::Delete { key, condition: condition(&headers)? };
    let reply = service.change(request_id(&headers)?, command).await?;
    Ok(json(&Deleted { deleted: reply.key }))
}

/// `{"k": "v"}` and its entity tag.
fn pair_answer(key: Option<String>, value: Option<String>, version: Option<u64>) -> Response {
    let pair: BTreeMap<String, Option<String>> = key.into_iter().map(|key| (key, value.clone())).collect();
    let mut response = json(&pair);
    set_etag(&mut response, version);
    response
}

fn pair(bytes: &[u8]) -> Result<(String, String), Failure> {
    let hint = "send one key and its value as text: {\"k\":\"v\"}";
    let bad = |error: String| Failure::new(Kind::BadRequest, error, hint);
    let pairs: BTreeMap<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("not a JSON object: {error}")))?;
    let mut pairs = pairs.into_iter();
    match (pairs.next(), pairs.next()) {
        (Some((key, Value::String(value))), None) => Ok((key, value)),
        (Some((key, _)), None) => Err(bad(format!("the value of {key:?} is not a string"))),
        (None, _) => Err(bad(String::from("no key"))),
        (Some(_), Some(_)) => Err(bad(String::from("more than one key"))),
    }
}

fn path_key(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    let Path(key) = path.map_err(|rejection| {
        let hint = "write other letters than UTF-8 has in a key as %XX of UTF-8";
        Failure::new(Kind::BadRequest, rejection.body_text(), hint)
    })?;
    checked_key(key)
}

fn checked_key(key: String) -> Result<String, Failure> {
    checked(key).map_err(|error| Failure::new(Kind::BadRequest, error.to_string(), error.hint()))
}

/// What `If-Match` and `If-None-Match` ask for (RFC 9110 §13.1): one strong tag, or `*`.
fn condition(headers: &HeaderMap) -> Result<Condition, Failure> {
    let hint = "use If-Match: \"12\" with the ETag of a GET, If-Match: * or If-None-Match: *";
    let bad = |error: &str| Failure::new(Kind::BadRequest, error, hint);
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("").trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::Always),
        (Some("*"), None) => Ok(Condition::Present),
        (Some(tag), None) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
            version.parse().map(Condition::Version).map_err(|_| bad("If-Match is not a version"))
        }
        (None, Some("*")) => Ok(Condition::Absent),
        (None, Some(_)) => Err(bad("If-None-Match takes * only")),
        (Some(_), Some(_)) => Err(bad("both If-Match and If-None-Match")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        [(name, header::HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn conditions_are_read_from_headers() {
        assert_eq!(condition(&HeaderMap::new()), Ok(Condition::Always));
        assert_eq!(condition(&with(header::IF_MATCH, "\"12\"")), Ok(Condition::Version(12)));
        assert_eq!(condition(&with(header::IF_MATCH, "12")), Ok(Condition::Version(12)));
        assert_eq!(condition(&with(header::IF_MATCH, "*")), Ok(Condition::Present));
        assert_eq!(condition(&with(header::IF_NONE_MATCH, "*")), Ok(Condition::Absent));
        for wrong in ["\"12\", \"13\"", "W/\"12\"", "\"abc\"", ""] {
            assert!(condition(&with(header::IF_MATCH, wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_pair_of_strings_and_nothing_else() {
        assert_eq!(pair(br#"{"k":"v"}"#), Ok(("k".into(), "v".into())));
        for wrong in ["", "[]", "{}", r#"{"k":1}"#, r#"{"k":null}"#, r#"{"a":"1","b":"2"}"#, r#"{"k":"v"} x"#]
        {
            assert!(pair(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
