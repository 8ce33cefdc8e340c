//! A cluster of processes in a directory that is gone at the end, and the plainest of clients.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_raft-kv");

/// Tries of anything that takes a while, 50 ms apart: a minute, on however slow a machine.
const TRIES: u32 = 1_200;

/// A directory that is gone at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("raft-kv-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// So many ports in a row that were free a moment ago, given to no other test of this process. They are below those that
/// the system gives to clients, so that no client takes one meanwhile.
pub(crate) fn free_ports(count: u16) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, room) = (10_000, 20_000);
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok()
    };
    eventually("there are free ports", || {
        let next = NEXT.fetch_add(u32::from(count), Ordering::Relaxed);
        let start = first + ((std::process::id() * 64 + next) % room) as u16;
        let ports: Vec<u16> = (start..start + count).collect();
        ports.iter().all(is_free).then_some(ports)
    })
}

/// Runs the program to its end; one that goes on for too long is killed, and the test fails.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let directory = Directory::new();
    let (out, err) = (directory.write("out", ""), directory.write("err", ""));
    let open = |path: &Path| std::fs::File::options().append(true).open(path).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(open(&out))
        .stderr(open(&err))
        .spawn()
        .unwrap();
    for _ in 0..TRIES {
        if let Some(status) = child.try_wait().unwrap() {
            return Output {
                status,
                stdout: std::fs::read(&out).unwrap(),
                stderr: std::fs::read(&err).unwrap(),
            };
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("{arguments:?} does not end: {}", std::fs::read_to_string(&err).unwrap());
}

/// Runs the program, which must fail: its exit code and what it says.
pub(crate) fn refused(arguments: &[&str]) -> (i32, String) {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits for something that takes a while.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..TRIES {
        if let Some(done) = attempt() {
            return done;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never: {what}");
}

/// A cluster of processes.
pub(crate) struct Cluster {
    pub(crate) directory: Directory,
    pub(crate) http: Vec<u16>,
    pub(crate) line: Vec<u16>,
    pub(crate) raft: Vec<u16>,
    extra: Vec<String>,
    processes: Vec<Option<Child>>,
}

impl Cluster {
    /// Initialised and started; returns when every node is ready.
    pub(crate) fn start(count: usize) -> Cluster {
        Cluster::start_with(count, &[])
    }

    /// The same, with more flags for `serve`.
    pub(crate) fn start_with(count: usize, extra: &[&str]) -> Cluster {
        let mut cluster = Cluster::init(count);
        cluster.extra = extra.iter().map(|flag| String::from(*flag)).collect();
        for id in 1..=count {
            cluster.launch(id);
        }
        for id in 1..=count {
            cluster.wait_ready(id);
        }
        cluster
    }

    /// Initialised only.
    pub(crate) fn init(count: usize) -> Cluster {
        let directory = Directory::new();
        let ports = free_ports(3 * count as u16);
        let (http, rest) = ports.split_at(count);
        let (line, raft) = rest.split_at(count);
        let mut arguments = vec![
            String::from("init"),
            "cluster".into(),
            "--data".into(),
            directory.path().display().to_string(),
        ];
        for id in 0..count {
            arguments.push("--node".into());
            arguments.push(format!(
                "{}=127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}",
                id + 1,
                raft[id],
                http[id],
                line[id]
            ));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Cluster {
            http: http.to_vec(),
            line: line.to_vec(),
            raft: raft.to_vec(),
            extra: Vec::new(),
            processes: (0..count).map(|_| None).collect(),
            directory,
        }
    }

    pub(crate) fn config(&self, id: usize) -> PathBuf {
        self.directory.path().join(format!("node-{id}.toml"))
    }

    pub(crate) fn data(&self, id: usize) -> PathBuf {
        self.directory.path().join(format!("node-{id}"))
    }

    /// Starts a node's process.
    pub(crate) fn launch(&mut self, id: usize) {
        let config = self.config(id).display().to_string();
        let mut flags = vec![String::from("--config"), config];
        flags.extend(self.extra.iter().cloned());
        self.launch_with(id, &flags.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Starts it with other flags than usual.
    pub(crate) fn launch_with(&mut self, id: usize, flags: &[&str]) {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").args(flags);
        self.launch_command(id, command);
    }

    /// Starts it so that a write beyond its limit on the size of files is an error, and not its end.
    pub(crate) fn launch_limitable(&mut self, id: usize) {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM, "serve", "--config"])
            .arg(self.config(id));
        self.launch_command(id, command);
    }

    fn launch_command(&mut self, id: usize, mut command: Command) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("node-{id}.log")))
            .unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.processes[id - 1] = Some(child);
    }

    pub(crate) fn log(&self, id: usize) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("node-{id}.log"))).unwrap_or_default()
    }

    pub(crate) fn wait_ready(&self, id: usize) {
        let port = self.http[id - 1];
        for _ in 0..TRIES {
            if try_http(port, "GET", "/readyz", &[], "").is_ok_and(|answer| answer.status == 200) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("node {id} is not ready; its log:\n{}", self.log(id));
    }

    /// The process of a node.
    pub(crate) fn pid(&self, id: usize) -> u32 {
        self.processes[id - 1].as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, id: usize) {
        let mut child = self.processes[id - 1].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for a node that ends by itself; its exit code.
    pub(crate) fn wait_end(&mut self, id: usize) -> Option<i32> {
        let child = self.processes[id - 1].as_mut().unwrap();
        let status = eventually("the node ends", || child.try_wait().unwrap());
        self.processes[id - 1] = None;
        status.code()
    }

    /// Who leads, as the nodes say that run.
    pub(crate) fn leader(&self) -> usize {
        eventually("there is a leader", || {
            let running = (1..=self.http.len()).filter(|id| self.processes[id - 1].is_some());
            running.into_iter().find(|id| {
                let state = try_http(self.http[id - 1], "GET", "/state", &[], "");
                state.is_ok_and(|state| state.json()["role"] == "leader")
            })
        })
    }

    /// One request to a node.
    pub(crate) fn ask(&self, id: usize, method: &str, path: &str, body: &str) -> Answer {
        http(self.http[id - 1], method, path, &[], body)
    }

    /// A text command to a node.
    pub(crate) fn command(&self, id: usize, text: &str) -> Answer {
        self.ask(id, "POST", "/command", text)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a node answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

/// One request on a connection of its own, which must be answered.
pub(crate) fn http(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    try_http(port, method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// One request on a connection of its own.
pub(crate) fn try_http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: 127.0.0.1:{port}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A node that refuses a body answers without reading it; the answer counts then, not the broken pipe.
    let _ = stream.write_all(body.as_bytes());
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if bytes.is_empty() => return Err(error),
        // What came before the connection was reset is an answer.
        Ok(_) | Err(_) => {}
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Ok(Answer {
        status: status.ok_or(std::io::ErrorKind::InvalidData)?,
        headers: headers.map(|(name, value)| (name.to_lowercase(), String::from(value))).collect(),
        body: String::from(body),
    })
}

/// A connection of the line protocol.
pub(crate) struct Lines(BufReader<TcpStream>);

impl Lines {
    pub(crate) fn connect(port: u16) -> Lines {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Lines(BufReader::new(stream))
    }

    /// Says a line, and gives the line that is answered; nothing when the connection was closed.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        // A connection that is reset is closed as well.
        let _ = self.0.read_line(&mut answer);
        String::from(answer.trim_end_matches('\n'))
    }
}
