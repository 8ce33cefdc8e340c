//! `init`: the data directories of a new cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use raft_core::{ClusterId, Configuration, Epoch, Identity, Incarnation, Member, NodeId};

use crate::args::InitAction;
use crate::config::{FileConfig, NodeAddresses};
use crate::exit::{Exit, Fatal};
use crate::host;
use crate::print::say;

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
    }
}

/// All nodes at once: `node-N` and `node-N.toml` for each, in a directory.
pub(crate) fn cluster(directory: &Path, nodes: &[NodeAddresses]) -> Result<(), Fatal> {
    let ids: BTreeSet<u64> = nodes.iter().map(|node| node.id).collect();
    if ids.len() < nodes.len() || ids.contains(&0) {
        return Err(Fatal::new(Exit::Usage, "--node: each needs an id of its own, from 1 up"));
    }
    let cluster = ClusterId(random()?);
    let mut members = Vec::new();
    for node in nodes {
        members.push(Member { id: NodeId(node.id), incarnation: Incarnation(random()?) });
    }
    let founding = Configuration::of_voters(members.iter().copied());
    for (member, node) in members.iter().zip(nodes) {
        let name = format!("node-{}", node.id);
        let identity = Identity { cluster, epoch: Epoch(0), member: *member };
        host::initialise(&directory.join(&name), identity, &founding)
            .map_err(|what| Fatal::new(Exit::Directory, what))?;
        let config = FileConfig {
            id: Some(node.id),
            data: Some(name.clone().into()),
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

fn random() -> Result<u64, Fatal> {
    getrandom::u64()
        .map_err(|error| Fatal::new(Exit::Other, format!("the system has no random numbers: {error}")))
}
