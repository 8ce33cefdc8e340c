//! `init`: secrets, and the data directories of a new cluster.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use raft_core::NodeId;
use raft_net::DirectoryError;
use raft_net::directory::{self, FoundingRecord, MemberRecord};
use raft_net::secure::ClusterSecret;

use crate::args::InitAction;
use crate::config::{FileConfig, NodeAddresses};
use crate::exit::{Exit, Fatal};
use crate::print::say;

/// Beside the configurations that `init cluster` writes.
const SECRET: &str = "cluster-secret";
/// Bytes of a record at most.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Makes what was asked for.
pub(crate) fn run(action: InitAction) -> Result<(), Fatal> {
    match action {
        InitAction::Cluster { data, nodes, if_needed } => {
            // Written last for each node, so where they all are, nothing is missing.
            if if_needed && nodes.iter().all(|node| config_of(&data, node.id).exists()) {
                return Ok(());
            }
            cluster(&data, &nodes)?;
            for node in &nodes {
                say(format!("raft-kv serve --config {}\n", config_of(&data, node.id).display()));
            }
            Ok(())
        }
        InitAction::Secret { file } => secret(&file),
        InitAction::Node { id, data } => {
            if id == 0 {
                return Err(Fatal::new(Exit::Usage, "--id: ids are from 1 up"));
            }
            let record = directory::mint(&data, NodeId(id)).map_err(refused)?;
            say(format!("{record}\n"));
            Ok(())
        }
        InitAction::Record { members } => {
            let text = read(&members)?;
            let wrong = |what| {
                let what =
                    format!("{}: {what}; it holds the lines that `init node` printed", members.display());
                Fatal::new(Exit::Usage, what)
            };
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let records = lines.map(str::parse::<MemberRecord>).collect::<Result<_, _>>().map_err(wrong)?;
            say(FoundingRecord::new(records).map_err(wrong)?.to_string());
            Ok(())
        }
        InitAction::Found { data, record } => {
            let founding: FoundingRecord = read(&record)?.parse().map_err(|what| {
                let what = format!("{}: {what}; it is what `init record` printed", record.display());
                Fatal::new(Exit::Usage, what)
            })?;
            directory::found(&data, &founding).map_err(refused)
        }
    }
}

/// All nodes at once: `node-N` and `node-N.toml` for each, in a directory.
pub(crate) fn cluster(directory: &Path, nodes: &[NodeAddresses]) -> Result<(), Fatal> {
    let ids: BTreeSet<u64> = nodes.iter().map(|node| node.id).collect();
    if ids.len() < nodes.len() || ids.contains(&0) {
        return Err(Fatal::new(Exit::Usage, "--node: each needs an id of its own, from 1 up"));
    }
    let name = |id: u64| format!("node-{id}");
    let directories: Vec<(NodeId, PathBuf)> =
        nodes.iter().map(|node| (NodeId(node.id), directory.join(name(node.id)))).collect();
    let founding = directory::initialise_set(&directories).map_err(refused)?;
    secret(&directory.join(SECRET))?;
    for node in nodes {
        let config = FileConfig {
            id: Some(node.id),
            data: Some(name(node.id).into()),
            secret_file: Some(SECRET.into()),
            cluster: Some(format!("{:016x}", founding.cluster.0)),
            nodes: nodes.to_vec(),
            ..FileConfig::default()
        };
        let text = toml::to_string(&config).map_err(|error| {
            Fatal::new(Exit::Other, format!("the configuration can't be written: {error}"))
        })?;
        let file = config_of(directory, node.id);
        std::fs::write(&file, text).map_err(|error| Fatal::io(file.display(), &error))?;
    }
    Ok(())
}

/// Where a node's configuration is.
pub(crate) fn config_of(directory: &Path, id: u64) -> PathBuf {
    directory.join(format!("node-{id}.toml"))
}

/// A new secret in a new file, which only this user may read.
fn secret(file: &Path) -> Result<(), Fatal> {
    let secret = ClusterSecret::generate()
        .map_err(|error| Fatal::new(Exit::Other, format!("the system has no random numbers: {error}")))?;
    let write = || {
        let mut opened = File::options().write(true).create_new(true).mode(0o600).open(file)?;
        writeln!(opened, "{}", *secret.to_text())?;
        opened.sync_all()
    };
    write().map_err(|error| Fatal::io(format!("{}: a new secret can't be written", file.display()), &error))
}

fn read(file: &Path) -> Result<String, Fatal> {
    let unreadable = |error| Fatal::new(Exit::Usage, format!("{} can't be read: {error}", file.display()));
    if std::fs::metadata(file).map_err(unreadable)?.len() > RECORD_BYTES_MAX {
        return Err(Fatal::new(Exit::Usage, format!("{}: too large to be a record", file.display())));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

fn refused(error: DirectoryError) -> Fatal {
    Fatal::new(Exit::Directory, error.to_string())
}
