//! A whole cluster in one command: child processes, so that people can kill them, and real sockets and files.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::args::DemoArguments;
use crate::client::{Question, ask};
use crate::config::NodeAddresses;
use crate::exit::{Exit, Fatal};
use crate::init;
use crate::nodes::{Nodes, Temporary};
use crate::print::say;
use crate::report::StateReport;

const NODES: u64 = 5;
/// How long a cluster may take to be ready. It takes about a second.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Runs it until Ctrl-C.
pub(crate) async fn run(arguments: DemoArguments) -> Result<(), Fatal> {
    let began = Instant::now();
    let (directory, temporary) = match &arguments.data {
        Some(data) => (data.clone(), None),
        None => {
            let temporary = Temporary::new("demo", &std::env::temp_dir())?;
            (temporary.path().to_path_buf(), Some(temporary))
        }
    };
    let configs = prepare(&arguments, &directory)?;
    // Before the nodes start: a signal from here on stops them in order.
    let mut ends = Ends::new()?;
    let mut nodes = Nodes::start(&configs)?;
    let result = tokio::select! {
        ready = nodes.ready(READY_PATIENCE) => ready.map(|()| true),
        () = ends.next() => Ok(false),
    };
    let result = match result {
        Ok(true) => {
            introduce(&nodes, &directory, temporary.is_none(), began).await;
            watch(&mut nodes, &mut ends).await
        }
        Ok(false) => Ok(()),
        Err(fatal) => Err(fatal),
    };
    say("\nstopping all nodes ... ");
    let killed = nodes.stop().await;
    match killed.as_slice() {
        [] => say("done.\n"),
        killed => {
            let killed: Vec<String> = killed.iter().map(ToString::to_string).collect();
            say(format!("done; did not stop by themselves and were killed: nodes {}.\n", killed.join(", ")));
        }
    }
    result
}

/// What ends a demonstration: Ctrl-C, or a request of the system.
struct Ends {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> Result<Ends, Fatal> {
        let listen = |kind| signal(kind).map_err(|error| Fatal::io("signals can't be received", &error));
        Ok(Ends { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The configuration files of the cluster: those that are there, or fresh ones.
fn prepare(arguments: &DemoArguments, directory: &Path) -> Result<Vec<PathBuf>, Fatal> {
    let config = |id| init::config_of(directory, id);
    let known: Vec<PathBuf> = (1..=9).map(config).take_while(|config| config.exists()).collect();
    if known.is_empty() {
        let count = arguments.nodes.unwrap_or(NODES);
        let addresses = (1..=count).map(|id| addresses(arguments, id)).collect::<Result<Vec<_>, _>>()?;
        check_ports(&addresses)?;
        init::cluster(directory, &addresses)?;
        return Ok((1..=count).map(config).collect());
    }
    if arguments.nodes.is_some_and(|nodes| nodes != known.len() as u64) {
        let what = format!(
            "{} holds a cluster of {} nodes; leave --nodes away, or name another directory",
            directory.display(),
            known.len()
        );
        return Err(Fatal::new(Exit::Usage, what));
    }
    Ok(known)
}

fn addresses(arguments: &DemoArguments, id: u64) -> Result<NodeAddresses, Fatal> {
    let address = |flag: &str, first: u16| {
        let port = u64::from(first) + id - 1;
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let wrong = || {
            Fatal::new(
                Exit::Usage,
                format!("{flag} {first} leaves no room for node {id}; choose a lower one"),
            )
        };
        port.map(|port| format!("127.0.0.1:{port}")).ok_or_else(wrong)
    };
    Ok(NodeAddresses {
        id,
        raft: address("--raft-port", arguments.raft_port)?,
        http: Some(address("--http-port", arguments.http_port)?),
        line: Some(address("--line-port", arguments.line_port)?),
    })
}

/// Says at once which port is taken: the nodes would say it one by one, in their logs.
fn check_ports(nodes: &[NodeAddresses]) -> Result<(), Fatal> {
    let taken = |port: &str, flag: &str, error: std::io::Error| {
        let what = format!("127.0.0.1:{port} can't be used: {error}; choose other ports with {flag}");
        Fatal::new(Exit::Address, what)
    };
    for node in nodes {
        for (address, flag) in [(&node.http, "--http-port"), (&node.line, "--line-port")] {
            let Some(port) = address.as_ref().and_then(|address| address.rsplit(':').next()) else {
                continue;
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap_or(0)));
            TcpListener::bind(address).map_err(|error| taken(port, flag, error))?;
        }
        let port = node.raft.rsplit(':').next().unwrap_or("0");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap_or(0)));
        UdpSocket::bind(address).map_err(|error| taken(port, "--raft-port", error))?;
    }
    Ok(())
}

async fn introduce(nodes: &Nodes, directory: &Path, is_kept: bool, began: Instant) {
    let program = program();
    let mut text = String::new();
    let ms = began.elapsed().as_millis();
    text.push_str(&format!(
        "raft-kv: {} nodes on this machine, ready after {ms} ms\n\n",
        nodes.running.len()
    ));
    for node in &nodes.running {
        let settings = &node.settings;
        let state = ask(&settings.http.to_string(), None, &Question::get("/state")).await;
        let role = state.ok().and_then(|answer| answer.json::<StateReport>().ok()).map(|state| state.role);
        text.push_str(&format!(
            "  node {}  pid {:<8}http://{}  line {}  {}\n",
            settings.id,
            node.pid,
            settings.http,
            settings.line.map_or(String::from("-"), |line| line.to_string()),
            role.unwrap_or_default(),
        ));
    }
    let Some(first) = nodes.running.first() else { return };
    let last = nodes.running.last().unwrap_or(first);
    let line = first.settings.line.map_or(String::from("-"), |line| format!("{} {}", line.ip(), line.port()));
    text.push_str(&format!(
        "
  status page   http://{http}/
  write         curl -d 'SET greeting hello' http://{http}/command
                curl -d '{{\"greeting\":\"hello\"}}' http://{other}/key
  read          curl http://{other}/key/greeting
  by line       printf 'put k v\\nget k\\nquit\\n' | nc {line}
  all nodes     {program} status --node {http}
  kill one      kill -9 {pid}
  start it      {program} serve --config {config}

  data and logs are in {directory}{kept}
  Ctrl-C stops all nodes.
",
        http = first.settings.http,
        other = last.settings.http,
        pid = last.pid,
        config = last.config.display(),
        directory = directory.display(),
        kept = if is_kept { "" } else { ", and are removed at the end (--data DIR keeps them)" },
    ));
    say(text);
}

/// How this program is called from here.
fn program() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("raft-kv"));
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(&here).unwrap_or(&program).display().to_string()
}

/// Tells of nodes that end, until told to stop or none is left.
async fn watch(nodes: &mut Nodes, ends: &mut Ends) -> Result<(), Fatal> {
    loop {
        let (id, how) = tokio::select! {
            exit = nodes.exited() => exit,
            () = ends.next() => return Ok(()),
        };
        let (alive, all) = (nodes.alive(), nodes.running.len());
        let is_quorum = alive > all / 2;
        let config =
            nodes.running.iter().find(|node| node.settings.id == id).map(|node| node.config.display());
        let config = config.map(|config| config.to_string()).unwrap_or_default();
        say(format!(
            "node {id} ended ({how}); {alive} of {all} run here{}. Start it: {} serve --config {config}\n",
            if is_quorum { ", and the cluster goes on" } else { ": too few to commit anything" },
            program(),
        ));
        if alive == 0 {
            return Err(Fatal::new(Exit::Other, "all nodes have ended"));
        }
    }
}
