//! The command line as a client.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, free_ports, refused, run};

fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn keys_from_the_command_line() {
    let cluster = Cluster::start(3);
    let node = format!("127.0.0.1:{}", cluster.http[1]);
    let with = |words: &[&str]| {
        let mut all: Vec<String> = words.iter().map(|word| String::from(*word)).collect();
        all.extend(["--node".into(), node.clone()]);
        all
    };
    let do_it = |words: &[&str]| {
        let all = with(words);
        said(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let fail = |words: &[&str]| {
        let all = with(words);
        refused(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(do_it(&["put", "k", "two words"]), "two words\n");
    assert_eq!(do_it(&["get", "k"]), "two words\n");
    assert_eq!(do_it(&["incr", "n"]), "1\n");
    assert_eq!(do_it(&["incr", "n", "-5"]), "-4\n");
    let json: Value = serde_json::from_str(&do_it(&["get", "k", "-o", "json"])).unwrap();
    assert_eq!(json["k"], "two words");
    assert_eq!(fail(&["put", "k", "x", "--if-absent"]).0, 9);
    let (code, why) = fail(&["put", "k", "x", "--if-version", "1"]);
    assert!(code == 9 && why.contains("two words"), "{why}");
    assert_eq!(do_it(&["del", "k"]), "k deleted\n");
    assert_eq!(fail(&["get", "k"]).0, 6);
    assert_eq!(fail(&["del", "k"]).0, 6);

    // The first node that answers will do.
    let dead = format!("127.0.0.1:{},{node}", free_ports(1)[0]);
    assert_eq!(said(&["get", "n", "--node", &dead]), "-4\n");
    let (code, why) = refused(&["get", "n", "--node", &format!("127.0.0.1:{}", free_ports(1)[0])]);
    assert!(code == 7 && why.contains("--node"), "{why}");
}

#[test]
fn status_shows_every_node() {
    let mut cluster = Cluster::start(3);
    let node = format!("127.0.0.1:{}", cluster.http[0]);
    let text = said(&["status", "--node", &node]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert_eq!(text.matches("leader").count(), 1, "{text}");
    assert_eq!(text.matches("follower").count(), 2, "{text}");
    cluster.kill(3);
    cluster.leader();
    let text = said(&["status", "--node", &node, "-o", "json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all[2]["state"], Value::Null, "{text}");
    assert_eq!(all[0]["state"]["id"], 1);
}

#[test]
fn a_node_that_hangs_does_not_hold_up_the_status_of_the_others() {
    let cluster = Cluster::start(3);
    let hung = cluster.leader() % 3 + 1;
    let node = |id: usize| format!("127.0.0.1:{}", cluster.http[id - 1]);
    let pid = cluster.pid(hung).to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    for asked in [node(hung % 3 + 1), format!("{},{}", node(hung), node(hung % 3 + 1))] {
        let began = Instant::now();
        let output = run(&["status", "--node", &asked]);
        let took = began.elapsed();
        // A second, and room for a busy machine; a client that waits for an answer waits for 20 s.
        assert!(took < Duration::from_secs(8), "{took:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().nth(hung).unwrap();
        assert!(line.contains("no answer"), "{text}");
        assert_eq!(text.matches("no answer").count(), 1, "{text}");
    }
    let (code, why) = refused(&["status", "--node", &node(hung)]);
    assert!(code == 7 && why.contains("no answer in 1s"), "{why}");
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
}

#[test]
fn verify_tells_what_a_directory_holds() {
    let mut cluster = Cluster::start(1);
    cluster.command(1, "SET k v");
    let directory = cluster.data(1).to_str().unwrap().to_owned();
    let (code, why) = refused(&["journal", "verify", &directory]);
    assert!(code == 4 && why.contains("serves this directory"), "{why}");
    cluster.kill(1);
    let text = said(&["journal", "verify", &directory]);
    assert!(text.contains("incarnation") && text.contains("torn"), "{text}");
    let verdict: Value =
        serde_json::from_str(&said(&["journal", "verify", &directory, "-o", "json"])).unwrap();
    assert_eq!((&verdict["ok"], &verdict["node"]), (&Value::Bool(true), &Value::from(1)));
    assert!(verdict["entries"].as_u64() >= Some(2), "{verdict}");
    let (code, why) = refused(&["journal", "verify", "/nowhere"]);
    assert!(code == 4 && why.contains("/nowhere"), "{why}");
}

#[test]
fn the_benchmark_measures_what_it_says() {
    let text = said(&["bench", "--clients", "1,3", "--operations", "5", "--value-bytes", "32", "-o", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4, "{text}");
    for run in runs {
        assert_eq!(run["failed"], 0, "{run}");
        assert!(run["operations"].as_u64() >= Some(15), "{run}");
        assert!(run["p50_us"].as_u64() > Some(0) && run["raw_sync_us"]["p50"].as_u64() > Some(0), "{run}");
    }
    assert!(runs[0]["syncs"].as_u64() >= Some(15), "one client's writes are synced one by one: {}", runs[0]);
    assert!(!report["file_system"].as_str().unwrap().is_empty());
    assert_eq!(refused(&["bench", "--clients", "0"]).0, 2);
}
