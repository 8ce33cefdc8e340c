//! Nodes as child processes, for the demonstration and the benchmark: real processes, so that people can kill them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::client::{Question, ask};
use crate::config::{Settings, Source};
use crate::exit::{Exit, Fatal};

/// How long a node may take to stop by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How much of a log is shown when its node does not start.
const TAIL_BYTES: u64 = 2_000;

/// A running node.
pub(crate) struct Running {
    /// What it was started with.
    pub(crate) settings: Settings,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    /// Its process.
    pub(crate) pid: u32,
    log: PathBuf,
    /// The node stops when this is closed, and so it does when this process dies in whatever way.
    stdin: Option<ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
}

/// All nodes of a directory.
pub(crate) struct Nodes {
    /// Those that were started, by id.
    pub(crate) running: Vec<Running>,
    exits: mpsc::Receiver<(u64, std::io::Result<ExitStatus>)>,
    /// Those that have not ended.
    alive: usize,
}

impl Nodes {
    /// Starts a node for each configuration file.
    pub(crate) fn start(configs: &[PathBuf]) -> Result<Nodes, Fatal> {
        let (sender, exits) = mpsc::channel(configs.len().max(1));
        let mut nodes = Nodes { running: Vec::new(), exits, alive: 0 };
        for config in configs {
            let settings = Source::read(config)
                .and_then(Source::resolve)
                .map_err(|error| Fatal::new(Exit::Usage, error.to_string()))?;
            let log = config.with_extension("log");
            let mut child = spawn(config, &log)?;
            let (kill, killed) = oneshot::channel();
            let running = Running {
                config: config.clone(),
                pid: child.id().unwrap_or(0),
                log,
                stdin: child.stdin.take(),
                kill: Some(kill),
                settings,
            };
            let (id, sender) = (running.settings.id, sender.clone());
            tokio::spawn(async move {
                let status = wait(child, killed).await;
                // The receiver lives as long as anybody wants to know.
                let _ = sender.send((id, status)).await;
            });
            nodes.running.push(running);
            nodes.alive += 1;
        }
        Ok(nodes)
    }

    /// Waits until all nodes serve. A node that ends instead is an error, with the end of its log.
    pub(crate) async fn ready(&mut self, within: Duration) -> Result<(), Fatal> {
        let deadline = Instant::now() + within;
        let question = Question::get("/readyz");
        for at in 0..self.running.len() {
            let http = self.running[at].settings.http.to_string();
            let token = self.running[at].settings.token.clone();
            loop {
                let asked = ask(&http, token.as_deref(), &question);
                tokio::select! {
                    answer = asked => if answer.is_ok_and(|answer| answer.status == 200) { break },
                    (id, _) = self.exited() => return Err(self.not_started(id)),
                }
                if Instant::now() > deadline {
                    return Err(self.not_started(self.running[at].settings.id));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// The next node that ends, and how. Never returns once all have.
    pub(crate) async fn exited(&mut self) -> (u64, String) {
        match self.exits.recv().await {
            Some((id, status)) => {
                self.alive = self.alive.saturating_sub(1);
                (id, status.map_or_else(|error| error.to_string(), |status| status.to_string()))
            }
            None => std::future::pending().await,
        }
    }

    /// How many run.
    pub(crate) fn alive(&self) -> usize {
        self.alive
    }

    /// The end of a node's log.
    pub(crate) fn log_tail(&self, id: u64) -> String {
        let log = self.running.iter().find(|node| node.settings.id == id).map(|node| node.log.as_path());
        log.map(|log| tail(log).unwrap_or_else(|error| format!("{}: {error}", log.display())))
            .unwrap_or_default()
    }

    /// Stops all nodes and waits for them; the ids of those that had to be killed.
    pub(crate) async fn stop(mut self) -> Vec<u64> {
        let mut kept: Vec<(u64, oneshot::Sender<()>)> = Vec::new();
        for node in &mut self.running {
            drop(node.stdin.take());
            kept.extend(node.kill.take().map(|kill| (node.settings.id, kill)));
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.alive > 0 {
            match tokio::time::timeout_at(deadline, self.exited()).await {
                Ok((id, _)) => kept.retain(|(other, _)| *other != id),
                Err(_) => break,
            }
        }
        let mut killed = Vec::new();
        for (id, kill) in kept {
            // An error means that it ended by itself meanwhile.
            if kill.send(()).is_ok() {
                killed.push(id);
            }
        }
        while self.alive > 0 {
            self.exited().await;
        }
        killed
    }

    fn not_started(&self, id: u64) -> Fatal {
        Fatal::new(
            Exit::Other,
            format!("node {id} did not start; the end of its log:\n{}", self.log_tail(id)),
        )
    }
}

fn spawn(config: &Path, log: &Path) -> Result<Child, Fatal> {
    let program =
        std::env::current_exe().map_err(|error| Fatal::io("this program can't be found", &error))?;
    let open = || OpenOptions::new().create(true).append(true).open(log);
    let file = open().map_err(|error| Fatal::io(log.display(), &error))?;
    let copy = open().map_err(|error| Fatal::io(log.display(), &error))?;
    Command::new(&program)
        .args(["serve", "--until-stdin-ends", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(file))
        .stderr(Stdio::from(copy))
        // A group of its own: Ctrl-C is for the parent, who then stops the nodes in order.
        .process_group(0)
        .spawn()
        .map_err(|error| Fatal::io(format!("{} can't be started", program.display()), &error))
}

async fn wait(mut child: Child, killed: oneshot::Receiver<()>) -> std::io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        // An error means that nobody will ever ask for it: the nodes are gone, or this process is ending.
        Ok(()) = killed => {}
    }
    child.start_kill()?;
    child.wait().await
}

fn tail(file: &Path) -> std::io::Result<String> {
    let mut file = File::open(file)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES)))?;
    let mut end = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).trim_end().to_owned())
}

/// A directory that is gone at the end.
pub(crate) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A fresh one, for this user only.
    pub(crate) fn new(purpose: &str, parent: &Path) -> Result<Temporary, Fatal> {
        let mut last = None;
        for attempt in 0..100 {
            let path = parent.join(format!("raft-kv-{purpose}-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Temporary { path }),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Fatal::new(Exit::Other, format!("no directory can be made in {}: {why}", parent.display())))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("raft-kv: {} could not be removed: {error}", self.path.display());
        }
    }
}
