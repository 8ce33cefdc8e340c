//! Three nodes in one process that append a struct, and hand on what is committed through a channel.
//! Run it with `cargo run -p raft-net --example embed_node`.

use std::net::UdpSocket;
use std::sync::mpsc;

use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError};
use raft_core::{Index, NodeId};
use raft_net::secure::{ClusterSecret, ClusterSecrets};
use raft_net::{Node, NodeConfig, directory};
use serde::{Deserialize, Serialize};

/// What is replicated.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

/// Hands every committed order on. A restarted node hands them on again, from the first: the index tells which.
struct Orders(mpsc::Sender<(Index, Order)>);

impl StateMachine for Orders {
    type Command = Order;
    type Response = Index;
    type Query = ();
    type Answer = ();
    type Image = ();
    fn apply(&mut self, index: Index, order: Order) -> Index {
        let _ = self.0.send((index, order)); // Nobody listens any more? The log goes on.
        index
    }

    fn query(&self, (): ()) {}
    // What went through a channel is not had back: no snapshots (see below). `raft-kv` has a state that it keeps.
    fn freeze(&self) {}
    fn write((): &(), _: &mut dyn Sink) {}
    fn restore(_: &mut dyn Source) -> Result<Orders, SourceError> {
        Err(SourceError { what: String::from("orders that were handed on are not kept") })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Once in the life of a cluster: directories with identities and keys, and a secret that all members share.
    let root = tempfile::tempdir()?;
    let directories: Vec<_> = (1..=3).map(|id| (NodeId(id), root.path().join(id.to_string()))).collect();
    directory::initialise_set(&directories)?;
    let secrets = ClusterSecrets::from(ClusterSecret::generate()?);
    let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses: Vec<_> = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
    drop(sockets);

    let (mut nodes, mut committed) = (Vec::new(), Vec::new());
    for ((id, directory), address) in directories.iter().zip(&addresses) {
        let (sender, receiver) = mpsc::channel();
        let mut config = NodeConfig::new(directory.clone(), *id, *address, secrets.clone());
        config.addresses = directories.iter().map(|(id, _)| *id).zip(addresses.iter().copied()).collect();
        config.replica.snapshot_after_bytes = u64::MAX;
        config.replica.snapshot_after_terms = usize::MAX;
        nodes.push(Node::start(config, Orders(sender)).await?);
        committed.push(receiver);
    }
    // On whatever node: a follower forwards to the leader. Wait until there is one.
    nodes[0].watch_status().wait_for(|status| status.raft.leader.is_some()).await?;
    for (node, item) in nodes.iter().zip(["tea", "milk", "sugar"]) {
        let index = node.propose(Order { item: item.to_string(), count: 2 }).await?;
        println!("{item} is committed as {index}");
    }
    for (id, receiver) in (1..).zip(&committed) {
        let orders: Vec<_> = receiver.iter().take(3).collect();
        println!("node {id} received {orders:?}");
    }
    for node in &nodes {
        node.shutdown().await;
    }
    Ok(())
}
