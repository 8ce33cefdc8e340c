//! What a node is told at its start: a file (TOML or JSON), flags, or both; flags win.
//!
//! One file can serve all nodes: the addresses of every node are in `nodes`, and `--id` says which of them this is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use raft_core::ClusterId;
use raft_net::secure::{ClusterSecret, ClusterSecrets};
use serde::{Deserialize, Serialize};

/// Bytes of a configuration file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// 16 MiB of log.
const SNAPSHOT_AFTER_KIB: u64 = 16 << 10;
/// Nodes of a cluster at most: as many members as a configuration is sensibly made of.
pub(crate) const NODES_MAX: usize = 64;

/// What a file may say. Everything is optional here; [`resolve`](Source::resolve) says what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileConfig {
    /// Which of the nodes this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    /// The data directory, relative to the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// Where HTTP listens; the node's `http` in `nodes` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// Where peers are heard (UDP); the node's `raft` in `nodes` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) raft: Option<String>,
    /// Where the line protocol listens; the node's `line` in `nodes` unless given; nowhere if neither is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<String>,
    /// Where the log goes, relative to the file; standard error unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_file: Option<PathBuf>,
    /// What is logged: error, warn, info, debug or trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_level: Option<String>,
    /// A follower that hears nothing for one to two of these campaigns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) election_timeout_ms: Option<u64>,
    /// A leader is heard at least this often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat_ms: Option<u64>,
    /// A snapshot is taken when the log has grown by so much, and then covers that part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_after_kib: Option<u64>,
    /// Whether a follower passes commands on to the leader; it does unless told not to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) forwarding: Option<bool>,
    /// A file with the token that clients must show; needed to listen beyond loopback. Relative to the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// A file with the secret that all nodes share, relative to the file; a second line holds another one during its
    /// rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The cluster that the data directory must be of, as `init` wrote it; the directory is trusted without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// All nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<NodeAddresses>,
}

/// How one node is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeAddresses {
    /// Its number.
    pub(crate) id: u64,
    /// `HOST:PORT` for its peers (UDP).
    pub(crate) raft: String,
    /// `HOST:PORT` for clients and browsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// `HOST:PORT` for the line protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<String>,
}

impl FromStr for NodeAddresses {
    type Err = String;

    /// `ID=RAFT[,HTTP[,LINE]]`, as on the command line.
    fn from_str(text: &str) -> Result<NodeAddresses, String> {
        let wrong = || {
            format!("{text:?} is not of the form ID=RAFT[,HTTP[,LINE]], as 1=127.0.0.1:7001,127.0.0.1:8001")
        };
        let (id, addresses) = text.split_once('=').ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        let mut addresses = addresses.split(',').map(String::from);
        let raft = addresses.next().filter(|raft| !raft.is_empty()).ok_or_else(wrong)?;
        let (http, line) = (addresses.next(), addresses.next());
        if addresses.next().is_some() {
            return Err(wrong());
        }
        Ok(NodeAddresses { id, raft, http, line })
    }
}

/// What a node runs with: everything known, and checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Which node this is.
    pub(crate) id: u64,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where HTTP listens.
    pub(crate) http: SocketAddr,
    /// Where peers are heard.
    pub(crate) raft: SocketAddr,
    /// Where the line protocol listens.
    pub(crate) line: Option<SocketAddr>,
    /// Where the log goes.
    pub(crate) log_file: Option<PathBuf>,
    /// What is logged.
    pub(crate) log_level: tracing::Level,
    /// Milliseconds.
    pub(crate) election_timeout_ms: u64,
    /// Milliseconds.
    pub(crate) heartbeat_ms: u64,
    /// KiB of log after which a snapshot is taken.
    pub(crate) snapshot_after_kib: u64,
    /// Whether a follower passes commands on.
    pub(crate) forwarding: bool,
    /// What clients must show, if anything.
    pub(crate) token: Option<String>,
    /// What the nodes share.
    pub(crate) secrets: ClusterSecrets,
    /// The cluster that the data directory must be of.
    pub(crate) cluster: Option<ClusterId>,
    /// All nodes, by ascending id.
    pub(crate) nodes: Vec<NodeAddresses>,
}

/// A configuration that can't be used: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The file, if there is one.
    file: Option<PathBuf>,
    /// Its line, from 1, where known.
    line: Option<usize>,
    /// What is wrong: names the field.
    what: String,
    /// What to do.
    cure: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, _) => write!(f, "settings: ")?,
        }
        write!(f, "{}; {}", self.what, self.cure)
    }
}

impl std::error::Error for ConfigError {}

/// A file's settings with its text, so that a fault in them can be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// What it says.
    pub(crate) config: FileConfig,
    file: Option<PathBuf>,
    text: String,
}

impl Source {
    /// Reads a file: JSON if its name ends so, else TOML.
    pub(crate) fn read(file: &Path) -> Result<Source, ConfigError> {
        let fault = |line, what: String, cure: &str| ConfigError {
            file: Some(file.to_path_buf()),
            line,
            what,
            cure: String::from(cure),
        };
        let unreadable = |error: std::io::Error| {
            fault(None, format!("can't be read: {error}"), "check the path after --config")
        };
        let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(fault(None, format!("has {bytes} bytes"), "a configuration has at most 1 MiB"));
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        let config = if file.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(&text).map_err(|error| {
                fault(Some(error.line()), error.to_string(), "the README lists all fields")
            })?
        } else {
            toml::from_str(&text).map_err(|error| {
                let line =
                    error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                fault(line, String::from(error.message()), "the README lists all fields")
            })?
        };
        let mut source = Source { config, file: Some(file.to_path_buf()), text };
        // Paths in a file are meant from where the file is.
        let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
        let config = &mut source.config;
        let paths = [&mut config.data, &mut config.log_file, &mut config.token_file, &mut config.secret_file];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&path);
        }
        Ok(source)
    }

    /// Checks everything and fills in what may be left away.
    pub(crate) fn resolve(mut self) -> Result<Settings, ConfigError> {
        self.config.nodes.sort_by_key(|node| node.id);
        let config = &self.config;
        self.check_nodes()?;
        let id = config.id.ok_or_else(|| self.missing("id", "say which node this is: id, or --id"))?;
        let own = config.nodes.iter().find(|node| node.id == id).ok_or_else(|| {
            let ids: Vec<String> = config.nodes.iter().map(|node| node.id.to_string()).collect();
            let what = format!(
                "is {id}, and nodes has {}",
                if ids.is_empty() { "none".into() } else { ids.join(", ") }
            );
            self.fault(
                "id",
                &what,
                "list every node, this one too: [[nodes]], or --node ID=RAFT,HTTP for each",
            )
        })?;
        let data = config
            .data
            .clone()
            .ok_or_else(|| self.missing("data", "name the data directory: data, or --data"))?;
        let http = config.http.as_ref().or(own.http.as_ref()).ok_or_else(|| {
            self.missing("http", "say where clients are served: http, or --http 127.0.0.1:8001")
        })?;
        let http = self.address("http", http)?;
        let raft = self.address("raft", config.raft.as_ref().unwrap_or(&own.raft))?;
        let line = match config.line.as_ref().or(own.line.as_ref()) {
            Some(line) => Some(self.address("line", line)?),
            None => None,
        };
        let (election_timeout_ms, heartbeat_ms) = self.times()?;
        let snapshot_after_kib = config.snapshot_after_kib.unwrap_or(SNAPSHOT_AFTER_KIB);
        if !(16..=1 << 30).contains(&snapshot_after_kib) {
            let what = format!("is {snapshot_after_kib}");
            return Err(self.fault("snapshot_after_kib", &what, "use 16 (KiB) to 1073741824 (1 TiB)"));
        }
        let level = config.log_level.as_deref().unwrap_or("info");
        let log_level = level.parse().map_err(|_| {
            self.fault("log_level", &format!("is {level:?}"), "use error, warn, info, debug or trace")
        })?;
        let (token, secrets, cluster) = (self.token()?, self.secrets()?, self.cluster()?);
        for (field, address) in [("http", Some(http)), ("line", line)] {
            if address.is_some_and(|address| !address.ip().is_loopback()) && token.is_none() {
                let what = "is not a loopback address, and there is no token";
                return Err(self.fault(
                    field,
                    what,
                    "write a secret to a file and name it: token_file, or --token-file",
                ));
            }
        }
        Ok(Settings {
            id,
            data,
            http,
            raft,
            line,
            log_file: config.log_file.clone(),
            log_level,
            election_timeout_ms,
            heartbeat_ms,
            snapshot_after_kib,
            forwarding: config.forwarding.unwrap_or(true),
            token,
            secrets,
            cluster,
            nodes: self.config.nodes,
        })
    }

    fn check_nodes(&self) -> Result<(), ConfigError> {
        let nodes = &self.config.nodes;
        if nodes.len() > NODES_MAX {
            let what = format!("has {} entries", nodes.len());
            return Err(self.fault("nodes", &what, "a cluster has at most 64"));
        }
        for pair in nodes.windows(2) {
            if pair[0].id == pair[1].id {
                return Err(self.fault(
                    "nodes",
                    &format!("has the id {} twice", pair[0].id),
                    "give each its own",
                ));
            }
        }
        if let Some(zero) = nodes.iter().find(|node| node.id == 0) {
            return Err(self.fault("nodes", &format!("has the id {}", zero.id), "ids are from 1 up"));
        }
        type Field = fn(&NodeAddresses) -> Option<&String>;
        let fields: [(&str, Field); 3] = [
            ("raft", |node| Some(&node.raft)),
            ("http", |node| node.http.as_ref()),
            ("line", |node| node.line.as_ref()),
        ];
        for (field, get) in fields {
            let mut all: Vec<&String> = nodes.iter().filter_map(get).collect();
            all.sort();
            if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
                let what = format!("is {:?} for two nodes", pair[0]);
                return Err(self.fault(field, &what, "give each its own"));
            }
            for address in all {
                let port = address
                    .rsplit_once(':')
                    .and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
                if port.is_none() {
                    let what = format!("is {address:?} in nodes");
                    return Err(self.fault(field, &what, "write HOST:PORT, as 127.0.0.1:7001"));
                }
            }
        }
        Ok(())
    }

    fn times(&self) -> Result<(u64, u64), ConfigError> {
        let election = self.config.election_timeout_ms.unwrap_or(300);
        let heartbeat = self.config.heartbeat_ms.unwrap_or(50.min(election / 3));
        if !(10..=3_600_000).contains(&election) {
            let what = format!("is {election}");
            return Err(self.fault(
                "election_timeout_ms",
                &what,
                "use 10 ms to an hour; 300 is a good start",
            ));
        }
        if heartbeat == 0 || heartbeat > election / 3 {
            let what = format!("is {heartbeat} with an election_timeout_ms of {election}");
            return Err(self.fault("heartbeat_ms", &what, "use from 1 to a third of the election timeout"));
        }
        Ok((election, heartbeat))
    }

    fn token(&self) -> Result<Option<String>, ConfigError> {
        let Some(file) = &self.config.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).map_err(|error| {
            let what = format!("{} can't be read: {error}", file.display());
            self.fault("token_file", &what, "write the token into it, readable by this user only")
        })?;
        let token = text.trim();
        let is_good = (16..=256).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_good {
            let what = format!("{}: the token is not 16 to 256 visible ASCII characters", file.display());
            return Err(self.fault("token_file", &what, "make one: openssl rand -hex 16"));
        }
        Ok(Some(String::from(token)))
    }

    fn secrets(&self) -> Result<ClusterSecrets, ConfigError> {
        let Some(file) = &self.config.secret_file else {
            let cure = "name the file with what all nodes share (`raft-kv init secret` makes one): secret_file, or --secret-file";
            return Err(self.missing("secret_file", cure));
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            let what = format!("{} can't be read: {error}", file.display());
            self.fault("secret_file", &what, "copy it from another node; `raft-kv init` made it")
        })?;
        let wrong = |what: String| {
            let what = format!("{}: {what}", file.display());
            self.fault(
                "secret_file",
                &what,
                "it has one secret a line: the current one, and another while it is rotated",
            )
        };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let read = |line: &str| line.parse::<ClusterSecret>().map_err(|error| wrong(error.to_string()));
        match lines[..] {
            [current] => Ok(ClusterSecrets { current: read(current)?, other: None }),
            [current, other] => Ok(ClusterSecrets { current: read(current)?, other: Some(read(other)?) }),
            _ => Err(wrong(format!("it has {} lines", lines.len()))),
        }
    }

    fn cluster(&self) -> Result<Option<ClusterId>, ConfigError> {
        let read = |text: &String| {
            let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
            let cure = "write its 16 hex digits, as `raft-kv init` did and GET /state shows them";
            number.map(ClusterId).ok_or_else(|| self.fault("cluster", &format!("is {text:?}"), cure))
        };
        self.config.cluster.as_ref().map(read).transpose()
    }

    /// An address to listen on.
    fn address(&self, field: &str, text: &str) -> Result<SocketAddr, ConfigError> {
        let numeric = text.replacen("localhost:", "127.0.0.1:", 1).parse();
        numeric.map_err(|_| {
            self.fault(
                field,
                &format!("is {text:?}"),
                "to listen, write IP:PORT, as 127.0.0.1:8001 or 0.0.0.0:8001",
            )
        })
    }

    /// A fault of a field that the file does not have.
    fn missing(&self, field: &str, cure: &str) -> ConfigError {
        let what = format!("{field} is missing");
        ConfigError { file: self.file.clone(), line: None, what, cure: String::from(cure) }
    }

    /// A fault of a field, at the first line that sets it; at the first that sets it to `value`, if that is told in
    /// quotes.
    fn fault(&self, field: &str, what: &str, cure: &str) -> ConfigError {
        let value = what.split('"').nth(1).unwrap_or("");
        let sets = |line: &str| {
            let line = line.trim_start_matches([' ', '\t', '[', '"', '{', ',']);
            line.strip_prefix(field).is_some_and(|rest| rest.starts_with([' ', '=', ':', '"', ']', '\t']))
        };
        let exact = self.text.lines().position(|line| sets(line) && line.contains(value));
        let line = exact.or_else(|| self.text.lines().position(sets)).map(|line| line + 1);
        ConfigError {
            file: self.file.clone(),
            line,
            what: format!("{field} {what}"),
            cure: String::from(cure),
        }
    }
}

/// Whether a host, as in an address or a `Host` header, is this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
