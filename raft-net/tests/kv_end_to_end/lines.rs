//! The line protocol, as with `nc`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::{Cluster, Directory, Lines, eventually, http};

#[test]
fn every_line_form() {
    let cluster = Cluster::start(3);
    let mut lines = Lines::connect(cluster.line[1]);
    assert_eq!(lines.say("put k v"), "Ok: v");
    assert_eq!(lines.say("get k"), "Ok: v");
    assert_eq!(lines.say("PUT k two words"), "Ok: two words");
    assert_eq!(lines.say("get k"), "Ok: two words");
    assert_eq!(lines.say("put k \"a\\nb\""), "Ok: \"a\\nb\"");
    assert_eq!(lines.say("get absent"), "Error: value does not exist");
    assert_eq!(lines.say("del k"), "Ok: k deleted");
    assert_eq!(lines.say("del k"), "Error: value does not exist");
    assert_eq!(lines.say("incr n 5"), "Ok: 5");
    assert_eq!(lines.say("cas n 5 6"), "Ok: 6");
    assert!(lines.say("cas n 5 7").starts_with("Error: the key has another value"));
    let session = lines.say("session");
    let session = session.strip_prefix("Ok: ").unwrap();
    assert_eq!(lines.say(&format!("{session}.1 incr n")), "Ok: 7");
    assert_eq!(lines.say(&format!("{session}.1 incr n")), "Ok: 7", "once");
    assert!(lines.say("help").starts_with("Ok: put k v"));

    // Bad lines are answered, and the connection goes on.
    assert!(lines.say("fly").starts_with("Error: unknown command"));
    assert!(lines.say("put k").starts_with("Error: usage: PUT key value"));
    assert!(lines.say("").starts_with("Error: no command (use one of: SET k v, PUT k v, GET k"));
    assert!(lines.say(" \t\r").starts_with("Error: no command"));
    assert_eq!(lines.say("get n"), "Ok: 7");
    assert_eq!(lines.say("quit"), "", "closed");

    let mut flood = Lines::connect(cluster.line[0]);
    assert!(flood.say(&format!("put k {}", "x".repeat(3 << 20))).starts_with("Error: the line is too long"));
    let mut after = Lines::connect(cluster.line[0]);
    assert_eq!(after.say("get n"), "Ok: 7");
}

/// All that is answered to all that is said; an error if the connection is reset instead of closed.
fn converse(port: u16, text: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(text)?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    Ok(answers)
}

#[test]
fn the_last_answer_arrives_whatever_is_still_sent() {
    let cluster = Cluster::start(1);
    let port = cluster.line[0];
    let too_long = [b"put k v\nput k ".to_vec(), vec![b'x'; 8 << 20], b"\nget k\n".to_vec()].concat();
    let after_quit = [b"put k v\nquit\n".to_vec(), vec![b'x'; 8 << 20]].concat();
    for _ in 0..5 {
        let answers = converse(port, &too_long).unwrap();
        assert!(
            answers.starts_with("Ok: v\nError: the line is too long") && answers.lines().count() == 2,
            "{answers}"
        );
        assert_eq!(converse(port, &after_quit).unwrap(), "Ok: v\n");
    }

    // Whoever never hangs up is cut off.
    let mut endless = TcpStream::connect(("127.0.0.1", port)).unwrap();
    endless.write_all(b"quit\n").unwrap();
    eventually("a write fails", || endless.write_all(b"x").err());
}

#[test]
fn with_a_token_an_empty_line_asks_for_it() {
    let secret = Directory::new();
    let token = secret.write("token", "open-sesame-12345\n");
    let cluster = Cluster::start_with(1, &["--token-file", token.to_str().unwrap()]);
    let mut lines = Lines::connect(cluster.line[0]);
    assert_eq!(lines.say(""), "Error: the token is missing or wrong (say auth TOKEN first)");
    assert_eq!(lines.say("auth open-sesame-12345"), "Ok: welcome");
    assert!(lines.say("").starts_with("Error: no command"));
}

#[test]
fn without_forwarding_followers_say_who_leads() {
    let cluster = Cluster::start_with(3, &["--no-forwarding"]);
    let leader = cluster.leader();
    let follower = leader % 3 + 1;
    let mut lines = Lines::connect(cluster.line[follower - 1]);
    let told = format!("Error: Leader is 127.0.0.1:{}", cluster.line[leader - 1]);
    assert_eq!(lines.say("put k v"), told);
    assert_eq!(lines.say("del k"), told);
    let mut lines = Lines::connect(cluster.line[leader - 1]);
    assert_eq!(lines.say("put k v"), "Ok: v");

    // The same over HTTP: a redirect that keeps method and body.
    let answer = cluster.command(follower, "SET k w");
    let location = format!("http://127.0.0.1:{}/command", cluster.http[leader - 1]);
    assert_eq!((answer.status, answer.header("location")), (307, Some(location.as_str())));
    assert_eq!(answer.json()["leader"]["id"], leader);
    let answer = http(cluster.http[follower - 1], "DELETE", "/key/k?x=1", &[], "");
    assert_eq!(answer.status, 307);
    assert!(answer.header("location").unwrap().ends_with("/key/k?x=1"));
    // Reads are answered by every node, forwarding or not.
    assert_eq!(cluster.command(follower, "GET k").json()["value"], "v");
}
