//! Clusters in one process: real sockets on loopback, real files in a temporary directory.
#![allow(unreachable_pub, dead_code, reason = "each test file uses its part of this")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use raft_core::journal::JournalConfig;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use raft_core::{Index, NodeId, RoleName};
use raft_net::secure::{ClusterSecret, ClusterSecrets};
use raft_net::{Faults, Node, NodeConfig, directory};
use tempfile::TempDir;

/// All that was ever added, in order.
#[derive(Clone, Debug, Default)]
pub struct List(pub Vec<String>);

impl StateMachine for List {
    type Command = String;
    /// How many there are now.
    type Response = u64;
    type Query = ();
    type Answer = Vec<String>;
    type Image = Vec<String>;

    fn apply(&mut self, _: Index, command: String) -> u64 {
        self.0.push(command);
        self.0.len() as u64
    }

    fn query(&self, (): ()) -> Vec<String> {
        self.0.clone()
    }

    fn freeze(&self) -> Vec<String> {
        self.0.clone()
    }

    fn write(image: &Vec<String>, out: &mut dyn Sink) {
        write_value(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<List, SourceError> {
        read_value(input).map(List)
    }
}

/// A cluster whose nodes may be up or down.
pub struct Cluster {
    pub root: TempDir,
    pub secrets: ClusterSecrets,
    pub addresses: BTreeMap<NodeId, SocketAddr>,
    pub faults: BTreeMap<NodeId, Faults>,
    pub nodes: BTreeMap<NodeId, Node<List>>,
}

impl Cluster {
    /// Initialised directories, and no node started.
    pub fn initialised(count: u64) -> Cluster {
        let root = TempDir::new().unwrap();
        let ids: Vec<_> = (1..=count).map(NodeId).collect();
        let directories: Vec<_> = ids.iter().map(|id| (*id, root.path().join(id.0.to_string()))).collect();
        directory::initialise_set(&directories).unwrap();
        let addresses = ids.iter().copied().zip(free_addresses(ids.len())).collect();
        let faults = ids.iter().map(|id| (*id, Faults::default())).collect();
        let secrets = ClusterSecrets::from(ClusterSecret::generate().unwrap());
        Cluster { root, secrets, addresses, faults, nodes: BTreeMap::new() }
    }

    pub async fn started(count: u64) -> Cluster {
        let mut cluster = Cluster::initialised(count);
        cluster.start_all().await;
        cluster
    }

    pub fn directory(&self, id: NodeId) -> PathBuf {
        self.root.path().join(id.0.to_string())
    }

    pub fn config(&self, id: NodeId) -> NodeConfig {
        let mut config = NodeConfig::new(self.directory(id), id, self.addresses[&id], self.secrets.clone());
        config.addresses = self.addresses.clone();
        config.journal = JournalConfig { segment_bytes: 1 << 20, ..JournalConfig::default() };
        config.disk.faults = self.faults[&id].clone();
        config
    }

    pub async fn start(&mut self, id: NodeId) {
        let node = Node::start(self.config(id), List::default()).await.unwrap();
        self.nodes.insert(id, node);
    }

    pub async fn start_all(&mut self) {
        for id in self.addresses.keys().copied().collect::<Vec<_>>() {
            self.start(id).await;
        }
    }

    pub async fn stop_all(&mut self) {
        while let Some((_, node)) = self.nodes.pop_first() {
            node.shutdown().await;
        }
    }

    /// Waits until one leads and all others follow it.
    pub async fn settled(&self) -> NodeId {
        let wait = async {
            loop {
                if let Some(id) = self.leader() {
                    return id;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("a leader within 30 s")
    }

    fn leader(&self) -> Option<NodeId> {
        let status: Vec<_> = self.nodes.values().map(Node::status).collect();
        let leader = status.iter().find(|status| status.raft.role == RoleName::Leader)?.raft.member;
        let agreed = status.iter().filter(|status| status.stopped.is_none());
        agreed.into_iter().all(|status| status.raft.leader == Some(leader)).then_some(leader.id)
    }

    pub fn followers(&self, leader: NodeId) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|id| *id != leader).collect()
    }
}

/// Addresses that were free a moment ago.
pub fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let sockets: Vec<_> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}
