//! What is refused, with which status, and that nothing is lost by it.

use crate::cluster::{Cluster, Directory, http};

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let cluster = Cluster::start(1);
    let port = cluster.http[0];
    assert_eq!(cluster.command(1, "SET kept safe").status, 200);
    let huge = "x".repeat(3 << 20);
    let large = format!("SET k {}", "x".repeat(1_500_000));
    let long_key = format!("/key/{}", "k".repeat(2_000));
    type Case<'a> = (u16, &'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);
    let cases: Vec<Case> = vec![
        (400, "POST", "/command", vec![], ""),
        (400, "POST", "/command", vec![], "FLY k"),
        (400, "POST", "/command", vec![], "SET k"),
        (400, "POST", "/command", vec![], "SET k v\nSET l w"),
        (400, "POST", "/command", vec![], "INCR k many"),
        (400, "POST", "/command", vec![], "1.x SET k v"),
        (400, "POST", "/key", vec![], "k=v"),
        (400, "POST", "/key", vec![], "{\"k\":"),
        (400, "POST", "/key", vec![], "{\"k\":1}"),
        (400, "POST", "/key", vec![], "{}"),
        (400, "POST", "/key", vec![], "{\"\":\"v\"}"),
        (400, "POST", "/key", vec![("If-Match", "\"x\"")], "{\"k\":\"v\"}"),
        (400, "POST", "/key", vec![("Request-Id", "x")], "{\"k\":\"v\"}"),
        (400, "POST", "/key", vec![("Request-Id", "0.0")], "{\"k\":\"v\"}"),
        (400, "POST", "/command", vec![], "0.0 SET k v"),
        (400, "GET", "/key/%FF", vec![], ""),
        (400, "GET", &long_key, vec![], ""),
        (400, "GET", "/key/k?consistency=maybe", vec![], ""),
        (400, "GET", "/key/k?fresh=yes", vec![], ""),
        (400, "GET", "/log?limit=0", vec![], ""),
        (400, "GET", "/log?from=x", vec![], ""),
        (403, "GET", "/state", vec![("Host", "evil.example")], ""),
        (403, "POST", "/command", vec![("Origin", "http://evil.example")], "SET kept stolen"),
        (403, "POST", "/command", vec![("Origin", "null")], "SET kept stolen"),
        (404, "GET", "/nowhere", vec![], ""),
        (404, "GET", "/key/absent", vec![], ""),
        (405, "PUT", "/key/k", vec![], "v"),
        (405, "GET", "/command", vec![], ""),
        (405, "GET", "/shutdown", vec![], ""),
        (413, "POST", "/command", vec![], &huge),
        (413, "POST", "/key", vec![], &huge),
        (413, "POST", "/command", vec![], &large),
    ];
    for (status, method, path, headers, body) in cases {
        let answer = http(port, method, path, &headers, body);
        let what = format!("{method} {path} {headers:?} {}", &body[..body.len().min(40)]);
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
        for field in ["error", "hint"] {
            assert!(!answer.json()[field].as_str().unwrap().is_empty(), "{what}: {}", answer.body);
        }
    }
    assert_eq!(cluster.command(1, "GET kept").json()["value"], "safe");
}

#[test]
fn the_largest_command_is_taken() {
    let cluster = Cluster::start(3);
    let value = "x".repeat((1 << 20) - 200);
    let set = cluster.command(1, &format!("SET big {value}"));
    assert_eq!(set.status, 200, "{}", &set.body[..set.body.len().min(200)]);
    assert_eq!(cluster.command(2, "GET big").json()["value"].as_str(), Some(value.as_str()));
}

#[test]
fn pages_of_the_cluster_may_ask_from_a_browser() {
    let cluster = Cluster::start(1);
    let port = cluster.http[0];
    let own = format!("http://localhost:{port}");
    let answer = http(port, "GET", "/state", &[("Origin", &own)], "");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(own.as_str())));
    let preflight = [("Origin", own.as_str()), ("Access-Control-Request-Method", "DELETE")];
    let answer = http(port, "OPTIONS", "/key/k", &preflight, "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-methods").unwrap().contains("DELETE"));
}

#[test]
fn with_a_token_nothing_is_shown_without_it() {
    let secrets = Directory::new();
    let file = secrets.write("token", "0123456789abcdef0123456789abcdef\n");
    let cluster = Cluster::start_with(1, &["--token-file", file.to_str().unwrap()]);
    let port = cluster.http[0];
    for (path, headers) in [
        ("/state", vec![]),
        ("/key/k", vec![("Authorization", "Bearer wrong")]),
        ("/log", vec![("Authorization", "0123456789abcdef0123456789abcdef")]),
        ("/metrics", vec![]),
    ] {
        let answer = http(port, "GET", path, &headers, "");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
    }
    let token = [("Authorization", "Bearer 0123456789abcdef0123456789abcdef")];
    assert_eq!(http(port, "POST", "/command", &token, "SET k v").status, 200);
    assert_eq!(http(port, "GET", "/livez", &[], "").status, 200, "probes have no token");

    let mut lines = crate::cluster::Lines::connect(cluster.line[0]);
    assert!(lines.say("get k").starts_with("Error: the token"), "a connection says the token first");
    assert!(lines.say("auth wrong").starts_with("Error: the token"));
    assert_eq!(lines.say("auth 0123456789abcdef0123456789abcdef"), "Ok: welcome");
    assert_eq!(lines.say("get k"), "Ok: v");
}
