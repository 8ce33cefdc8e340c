//! Who may ask: a token where there is one, and no web pages of strangers.
//!
//! A browser lets any page send simple requests to loopback, and a name that resolves to loopback lets it read the
//! answers. So a request that says which page it comes from (`Origin`) must come from a page of this cluster, and without
//! a token the `Host` must be a name of this machine.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::{NodeAddresses, is_loopback_host};
use crate::failure::{Failure, Kind, LeaderAddress};
use crate::service::Service;

/// Open to everybody: the page has nothing in it, and probes have no token.
const OPEN: [&str; 3] = ["/", "/livez", "/readyz"];

/// Checks a request, and finishes its answer.
pub(super) async fn guard(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let uri = request.uri().clone();
    let is_preflight = request.method() == Method::OPTIONS && origin.is_some();
    let mut response = match check(&service, &request) {
        Err(failure) => return failure.into_response(),
        Ok(()) if is_preflight => StatusCode::NO_CONTENT.into_response(),
        Ok(()) => next.run(request).await,
    };
    if let Some(origin) = origin {
        allow(response.headers_mut(), origin);
    }
    redirect(&mut response, &uri);
    response
}

fn check(service: &Service, request: &Request) -> Result<(), Failure> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let token = service.settings().token.as_deref();
    if token.is_none() && !host.is_some_and(|host| is_loopback_host(without_port(host))) {
        let hint = "use 127.0.0.1 or localhost; to serve other names, start the node with --token-file";
        return Err(Failure::new(Kind::Forbidden, "the Host is not this machine", hint));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("");
        let is_own = host.is_some_and(|host| origin == format!("http://{host}"));
        if !is_own && !is_of_cluster(origin, &service.settings().nodes) {
            let hint = "only the cluster's own status pages may ask from a browser";
            return Err(Failure::new(Kind::Forbidden, format!("the page is a stranger: {origin:?}"), hint));
        }
    }
    let is_open = OPEN.contains(&request.uri().path()) || request.method() == Method::OPTIONS;
    match token {
        Some(token) if !is_open && !shows(headers, token) => {
            let hint = "send the header Authorization: Bearer TOKEN";
            Err(Failure::new(Kind::Unauthorized, "the token is missing or wrong", hint))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether a page of one of the nodes asks. Loopback has several names, and they are one host here.
fn is_of_cluster(origin: &str, nodes: &[NodeAddresses]) -> bool {
    let Some(page) = origin.strip_prefix("http://") else { return false };
    nodes.iter().filter_map(|node| node.http.as_deref()).any(|node| {
        let same_port =
            page.rsplit_once(':').map(|(_, port)| port) == node.rsplit_once(':').map(|(_, port)| port);
        page == node
            || (same_port && is_loopback_host(without_port(page)) && is_loopback_host(without_port(node)))
    })
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(host, _)| host)
}

fn shows(headers: &HeaderMap, token: &str) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    shown.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|shown| is_same(shown.trim(), token))
}

/// Compares in a time that depends on the lengths only.
pub(crate) fn is_same(shown: &str, token: &str) -> bool {
    let differs = shown.bytes().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    shown.len() == token.len() && std::hint::black_box(differs) == 0
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let methods = HeaderValue::from_static("GET, POST, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed =
        HeaderValue::from_static("authorization, content-type, if-match, if-none-match, request-id");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, location"));
}

/// Points to the same path at the leader, if the answer is that another node leads.
fn redirect(response: &mut Response, uri: &Uri) {
    if response.status() != StatusCode::TEMPORARY_REDIRECT {
        return;
    }
    let http = response.extensions().get::<LeaderAddress>().and_then(|leader| leader.http.clone());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match http.and_then(|http| HeaderValue::from_str(&format!("http://{http}{path}")).ok()) {
        Some(location) => {
            response.headers_mut().insert(header::LOCATION, location);
        }
        // A redirect to nowhere would be a riddle.
        None => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_cluster_may_ask() {
        let nodes: Vec<NodeAddresses> =
            vec!["1=a:1,127.0.0.1:8001".parse().unwrap(), "2=a:2,box.lan:8002".parse().unwrap()];
        for own in ["http://127.0.0.1:8001", "http://localhost:8001", "http://box.lan:8002"] {
            assert!(is_of_cluster(own, &nodes), "{own}");
        }
        let strangers =
            ["http://127.0.0.1:9999", "http://evil.example:8001", "https://127.0.0.1:8001", "null", ""];
        for stranger in strangers {
            assert!(!is_of_cluster(stranger, &nodes), "{stranger}");
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same("0123456789abcdef", "0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0"] {
            assert!(!is_same(wrong, "0123456789abcdef"), "{wrong}");
        }
    }
}
