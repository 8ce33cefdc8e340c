//! The demonstration: one command, and its end.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::cluster::{Directory, PROGRAM, eventually, free_ports, http, refused, try_http};

struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
    printed: String,
    http: u16,
    _temporary: Directory,
}

impl Demo {
    fn start(nodes: &str, data: Option<&Directory>) -> Demo {
        let base = free_ports(30)[0];
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--nodes", nodes]);
        for (flag, port) in [("--http-port", base), ("--raft-port", base + 10), ("--line-port", base + 20)] {
            command.args([flag, &port.to_string()]);
        }
        if let Some(data) = data {
            command.arg("--data").arg(data.path());
        }
        Demo::of(command, base)
    }

    fn of(mut command: Command, http: u16) -> Demo {
        // Its own place for what is temporary: a demonstration that is killed leaves that behind.
        let temporary = Directory::new();
        command.env("TMPDIR", temporary.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Demo { child, out, printed: String::new(), http, _temporary: temporary }
    }

    /// Returns when it says that it is ready.
    fn wait_ready(&mut self) {
        while !self.printed.contains("Ctrl-C stops") {
            assert!(self.read_line().is_some(), "it ended: {}", self.printed);
        }
    }

    /// The next line that it prints.
    fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        self.printed.push_str(&line);
        (!line.is_empty()).then_some(line)
    }

    /// Ctrl-C; what it had printed.
    fn interrupt(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        while self.read_line().is_some() {}
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.printed);
        std::mem::take(&mut self.printed)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_cluster_in_one_command_that_ends_with_ctrl_c_and_keeps_its_data() {
    let directory = Directory::new();
    let mut demo = Demo::start("3", Some(&directory));
    demo.wait_ready();
    assert_eq!(http(demo.http, "POST", "/command", &[], "SET k kept").status, 200);
    let pids: Vec<u64> = (0..3)
        .map(|node| {
            let port = demo.http + node;
            eventually("every node serves", || try_http(port, "GET", "/state", &[], "").ok()).json()["pid"]
                .as_u64()
                .unwrap()
        })
        .collect();
    let printed = demo.interrupt();
    assert!(printed.contains("curl -d 'SET greeting hello'"), "{printed}");
    assert!(printed.contains("done."), "{printed}");
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left over");
    }

    // The directory knows its nodes and their ports.
    let mut demo = restart(&directory);
    demo.wait_ready();
    assert_eq!(http(demo.http, "POST", "/command", &[], "GET k").json()["value"], "kept");
    demo.interrupt();
    let (code, said) = refused(&["demo", "--nodes", "5", "--data", directory.path().to_str().unwrap()]);
    assert!(code == 2 && said.contains("3 nodes"), "{said}");
}

fn restart(directory: &Directory) -> Demo {
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--data"]).arg(directory.path());
    Demo::of(command, port_of(directory))
}

fn port_of(directory: &Directory) -> u16 {
    let text = std::fs::read_to_string(directory.path().join("node-1.toml")).unwrap();
    let http = text.lines().find_map(|line| line.strip_prefix("http = \"127.0.0.1:")).unwrap();
    http.trim_end_matches('"').parse().unwrap()
}

#[test]
fn a_node_that_dies_is_reported_and_the_others_go_on() {
    let mut demo = Demo::start("3", None);
    demo.wait_ready();
    let pid = http(demo.http + 2, "GET", "/state", &[], "").json()["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let line = demo.read_line().unwrap();
    assert!(line.contains("node 3 ended") && line.contains("2 of 3 run"), "{line}");
    eventually("the others go on", || {
        (http(demo.http, "POST", "/command", &[], "SET k v").status == 200).then_some(())
    });
    demo.interrupt();
}

#[test]
fn nodes_do_not_outlive_a_demonstration_that_is_killed() {
    let mut demo = Demo::start("1", None);
    demo.wait_ready();
    let port = demo.http;
    let state = http(port, "GET", "/state", &[], "").json();
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    eventually("its node ends", || {
        (!std::path::Path::new(&format!("/proc/{}", state["pid"])).exists()).then_some(())
    });
}

#[test]
fn a_port_in_use_is_told_with_its_flag() {
    let kept = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = kept.local_addr().unwrap().port();
    let (code, said) = refused(&["demo", "--nodes", "1", "--http-port", &port.to_string()]);
    assert!(code == 5 && said.contains("--http-port"), "{said}");
}
