//! Every HTTP form, on any node.

use crate::cluster::{Cluster, eventually, http};

#[test]
fn text_commands_are_taken_by_any_node() {
    let cluster = Cluster::start(3);
    let set = cluster.command(1, "SET greeting hello world");
    assert_eq!((set.status, set.json()["value"].as_str()), (200, Some("hello world")));
    for id in 1..=3 {
        let got = cluster.command(id, "GET greeting");
        assert_eq!((got.status, got.json()["value"].as_str()), (200, Some("hello world")), "node {id}");
        assert_eq!(got.json()["version"], set.json()["version"]);
        assert_eq!(got.header("etag"), set.header("etag"));
    }
    for id in 1..=3 {
        let sum = cluster.command(id, "INCR visits");
        assert_eq!(sum.json()["value"], id.to_string(), "{}", sum.body);
    }
    assert_eq!(cluster.command(2, "INCR visits -10").json()["value"], "-7");
    assert_eq!(cluster.command(3, "CAS greeting \"hello world\" bye").status, 200);
    let swap = cluster.command(1, "CAS greeting \"hello world\" again");
    assert_eq!((swap.status, swap.json()["value"].as_str()), (409, Some("bye")));
    assert_eq!(cluster.command(1, "CAS fresh nil first").status, 200);
    assert_eq!(cluster.command(1, "CAS fresh nil second").status, 409);
    assert_eq!(cluster.command(2, "DEL greeting").json()["deleted"], true);
    let gone = cluster.command(1, "GET greeting");
    assert_eq!((gone.status, gone.json()["error"].as_str()), (404, Some("value does not exist")));
    assert_eq!(cluster.command(2, "DEL greeting").status, 404);
    assert_eq!(cluster.command(2, "INCR fresh").status, 409, "not a number");
}

#[test]
fn keys_are_json_with_versions() {
    let cluster = Cluster::start(3);
    let port = |id: usize| cluster.http[id - 1];
    let set = cluster.ask(1, "POST", "/key", r#"{"k":"v"}"#);
    assert_eq!((set.status, set.body.as_str()), (200, "{\"k\":\"v\"}\n"));
    let got = cluster.ask(2, "GET", "/key/k", "");
    assert_eq!((got.status, got.body.as_str()), (200, "{\"k\":\"v\"}\n"));
    let tag = got.header("etag").unwrap().to_owned();
    assert_eq!(set.header("etag"), Some(tag.as_str()));
    assert_eq!(cluster.ask(3, "GET", "/key/k?consistency=linearizable", "").status, 200);
    eventually("a stale read sees it", || {
        (cluster.ask(3, "GET", "/key/k?consistency=stale", "").status == 200).then_some(())
    });

    // Compare-and-set with the version: the second of two who read the same version loses.
    let with_tag = [("If-Match", tag.as_str())];
    assert_eq!(http(port(3), "POST", "/key", &with_tag, r#"{"k":"mine"}"#).status, 200);
    let late = http(port(1), "POST", "/key", &with_tag, r#"{"k":"yours"}"#);
    assert_eq!((late.status, late.json()["value"].as_str()), (412, Some("mine")));
    assert_eq!(http(port(1), "DELETE", "/key/k", &with_tag, "").status, 412);
    assert_eq!(http(port(1), "POST", "/key", &[("If-None-Match", "*")], r#"{"k":"new"}"#).status, 412);
    assert_eq!(http(port(1), "POST", "/key", &[("If-None-Match", "*")], r#"{"other":"new"}"#).status, 200);
    assert_eq!(http(port(1), "POST", "/key", &[("If-Match", "*")], r#"{"absent":"x"}"#).status, 412);

    let deleted = cluster.ask(2, "DELETE", "/key/k", "");
    assert_eq!((deleted.status, deleted.body.as_str()), (200, "{\"deleted\":\"k\"}\n"));
    assert_eq!(cluster.ask(1, "GET", "/key/k", "").status, 404);
    assert_eq!(cluster.ask(1, "DELETE", "/key/k", "").status, 404);

    // Any text is a key and a value.
    let odd = serde_json::json!({"a/b c?ü\"": "line\nbreak \u{0} ü"});
    assert_eq!(cluster.ask(1, "POST", "/key", &odd.to_string()).status, 200);
    assert_eq!(cluster.ask(2, "GET", "/key/a%2Fb%20c%3F%C3%BC%22", "").json(), odd);
}

#[test]
fn a_request_with_an_id_takes_effect_once() {
    let cluster = Cluster::start(3);
    let session = cluster.ask(2, "POST", "/session", "").json()["session"].as_u64().unwrap();
    let add = format!("{session}.1 INCR n 5");
    for id in [1, 2, 3, 1] {
        assert_eq!(cluster.command(id, &add).json()["value"], "5", "the retry has the first answer");
    }
    assert_eq!(cluster.command(1, &format!("{session}.2 INCR n 5")).json()["value"], "10");
    let old = cluster.command(1, &add);
    assert_eq!(old.status, 409, "its answer is forgotten: it was used up by .2");
    assert_eq!(cluster.command(1, "GET n").json()["value"], "10");

    let port = cluster.http[0];
    let id = format!("{session}.3");
    let first = http(port, "POST", "/key", &[("Request-Id", &id)], r#"{"k":"a"}"#);
    cluster.command(2, "SET k b");
    let again = http(port, "POST", "/key", &[("Request-Id", &id)], r#"{"k":"a"}"#);
    assert_eq!((again.status, again.header("etag")), (200, first.header("etag")));
    assert_eq!(cluster.command(1, "GET k").json()["value"], "b", "it was not applied again");
    assert_eq!(cluster.command(1, "999999.1 SET k c").status, 409, "no such session");
}

#[test]
fn a_node_tells_of_itself() {
    let cluster = Cluster::start(3);
    cluster.command(1, "SET k v");
    let leader = cluster.leader();
    let state = cluster.ask(leader, "GET", "/state", "").json();
    assert_eq!(state["id"], leader);
    assert_eq!(state["leader"], leader);
    assert_eq!(state["vote"], leader);
    // Its own vote is not listed, and the third node may have campaigned itself.
    assert!(!state["votes_for"].as_array().unwrap().is_empty(), "{state}");
    assert!(state["votes_against"].is_array());
    assert!(state["commit"].as_u64() >= Some(2) && state["applied"].as_u64() >= Some(2), "{state}");
    assert_eq!(state["peers"].as_array().unwrap().len(), 2);
    assert!(state["peers"][0]["next_index"].as_u64() >= Some(2), "{state}");
    assert_eq!(state["elections"][0]["leader"], leader);
    assert_eq!(state["nodes"].as_array().unwrap().len(), 3);
    assert!(state["disk"]["syncs"].as_u64() > Some(0), "{state}");

    // Equal stores have equal digests.
    eventually("all stores are equal", || {
        let digests: Vec<_> =
            (1..=3).map(|id| cluster.ask(id, "GET", "/state", "").json()["digest"].clone()).collect();
        digests.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    });

    let connections = cluster.ask(leader, "GET", "/connections", "").json();
    assert_eq!(connections.as_array().unwrap().len(), 2, "{connections}");
    assert!(connections[0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(connections[0]["session"], "with boot 1", "{connections}");
    assert!(connections[0]["counters"]["datagrams_opened"].as_u64() > Some(0), "{connections}");

    let log = cluster.ask(leader, "GET", "/log?from=1&limit=5", "").json();
    let lines = log.as_array().unwrap();
    assert_eq!(lines[0]["index"], 1, "{log}");
    assert!(lines.iter().any(|line| line["command"] == "SET k v"), "{log}");
    assert_eq!(cluster.ask(leader, "GET", "/log?limit=1", "").json().as_array().unwrap().len(), 1);

    assert_eq!(cluster.ask(1, "GET", "/livez", "").body, "ok\n");
    assert_eq!(cluster.ask(1, "GET", "/readyz", "").status, 200);
    let metrics = cluster.ask(leader, "GET", "/metrics", "");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    assert!(metrics.body.contains("raft_"), "{}", metrics.body);
}

#[test]
fn a_shutdown_is_in_order_and_the_data_is_there_afterwards() {
    let mut cluster = Cluster::start(1);
    assert_eq!(cluster.command(1, "SET k v").status, 200);
    assert_eq!(cluster.ask(1, "POST", "/shutdown", "").json()["stopping"], true);
    assert_eq!(cluster.wait_end(1), Some(0));
    cluster.launch(1);
    cluster.wait_ready(1);
    assert_eq!(cluster.command(1, "GET k").json()["value"], "v");
}

#[test]
fn a_killed_leader_takes_nothing_with_it() {
    let mut cluster = Cluster::start(3);
    for n in 0..20 {
        assert_eq!(cluster.command(1 + n % 3, &format!("SET key-{n} {n}")).status, 200);
    }
    let leader = cluster.leader();
    cluster.kill(leader);
    let other = leader % 3 + 1;
    // A request waits out the election, or says that it had no effect.
    eventually("the others go on", || (cluster.command(other, "SET after kill").status == 200).then_some(()));
    for n in 0..20 {
        assert_eq!(cluster.command(other, &format!("GET key-{n}")).json()["value"], n.to_string());
    }
    cluster.launch(leader);
    cluster.wait_ready(leader);
    assert_eq!(cluster.command(leader, "GET after").json()["value"], "kill");
    cluster.kill(other);
    cluster.kill(6 - leader - other);
    let alone = cluster.command(leader, "SET k v");
    assert!(matches!(alone.status, 503 | 504), "{}", alone.body);
    assert!(!alone.json()["hint"].as_str().unwrap().is_empty());
}
