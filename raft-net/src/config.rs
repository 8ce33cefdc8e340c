//! What a node is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::journal::{JournalConfig, OnDamage};
use raft_core::replica::ReplicaConfig;
use raft_core::wire::WireConfig;
use raft_core::{ClusterId, Config, ConfigError, NodeId};

use crate::disk::Faults;
use crate::secure::ClusterSecrets;

/// Bytes of a command that a node accepts by default: 1 MiB, and room for what the replica adds to it.
pub const COMMAND_BYTES_MAX: u64 = (1 << 20) + 1_024;

/// What a node is told. [`NodeConfig::new`] gives everything a default that has one.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data directory, which [`directory`](crate::directory) initialised.
    pub directory: PathBuf,
    /// The node that the directory must be of.
    pub id: NodeId,
    /// The cluster that the directory must be of; none trusts the directory.
    pub cluster: Option<ClusterId>,
    /// Where peers are heard.
    pub listen: SocketAddr,
    /// Where every other member is reached. Extra addresses do no harm.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
    /// What all members know, and nobody else.
    pub secrets: ClusterSecrets,
    /// Bounds and times of Raft. The default command is 1 MiB at most ([`COMMAND_BYTES_MAX`]).
    pub replica: ReplicaConfig,
    /// Sizes of the journal's files.
    pub journal: JournalConfig,
    /// Sizes of datagrams and messages. `datagram_bytes_max` is that of a sealed datagram, as it leaves.
    pub wire: WireConfig,
    /// What is asked of the kernel for each of the socket's two buffers. Less may be granted, which is logged.
    pub socket_buffer_bytes: usize,
    /// How patient the node is with its disk.
    pub disk: DiskConfig,
    /// What happens when something that was synced turns out damaged at the start: by default the node abstains until
    /// its peers have given it back what it lost, and says so in the log.
    pub on_damage: OnDamage,
    /// Requests that wait for the event loop; above it, callers wait.
    pub requests_max: usize,
}

/// How patient a node is with its disk.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// A batch that takes longer is logged.
    pub warn_after: Duration,
    /// A batch that takes longer stops the node. A leader steps down long before, after one election timeout.
    pub stop_after: Duration,
    /// For tests: makes the disk fail or dawdle.
    pub faults: Faults,
}

impl Default for DiskConfig {
    fn default() -> DiskConfig {
        DiskConfig {
            warn_after: Duration::from_millis(500),
            stop_after: Duration::from_secs(30),
            faults: Faults::default(),
        }
    }
}

impl NodeConfig {
    /// The defaults for a node.
    #[must_use]
    pub fn new(directory: PathBuf, id: NodeId, listen: SocketAddr, secrets: ClusterSecrets) -> NodeConfig {
        let raft = Config { command_bytes_max: COMMAND_BYTES_MAX, ..Config::default() };
        NodeConfig {
            directory,
            id,
            cluster: None,
            listen,
            addresses: BTreeMap::new(),
            secrets,
            replica: ReplicaConfig { raft, ..ReplicaConfig::default() },
            journal: JournalConfig { segment_bytes: 16 << 20, ..JournalConfig::default() },
            wire: WireConfig::default(),
            socket_buffer_bytes: 4 << 20,
            disk: DiskConfig::default(),
            on_damage: OnDamage::Abstain,
            requests_max: 4_096,
        }
    }

    /// Checks the settings, alone and against each other.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.replica.validate()?;
        self.journal.validate()?;
        self.wire.validate()?;
        let raft = &self.replica.raft;
        let append_bytes_max = raft.append_bytes_max.max(raft.command_bytes_max);
        let rules = [
            (
                self.wire.message_bytes_max as u64 >= append_bytes_max.saturating_add(1_024),
                "message_bytes_max",
                "must be 1 KiB above append_bytes_max and command_bytes_max",
            ),
            (self.requests_max > 0, "requests_max", "must be above zero"),
            (self.disk.stop_after > self.disk.warn_after, "stop_after", "must be above warn_after"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, rule)) => Err(ConfigError { setting, rule }),
            None => Ok(()),
        }
    }
}
